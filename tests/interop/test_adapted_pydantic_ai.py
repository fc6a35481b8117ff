"""Agents of pydantic-ai, served, with models that need no network."""

from pathlib import Path

from adapted_agents import Adapted


def test_an_agents_turns(tmp_path: Path) -> None:
    Adapted(tmp_path, "pydantic-ai").run("pydantic_ai_turns.py")
