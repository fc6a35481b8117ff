"""Agents of the OpenAI Agents SDK, with the SDK as it is published and a model that needs no network."""

from pathlib import Path

from adapted_agents import Adapted


def test_an_agents_turns(tmp_path: Path) -> None:
    Adapted(tmp_path, "openai-agents").run("openai_agents_turns.py")
