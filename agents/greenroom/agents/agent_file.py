"""Agents that are described by a file: TOML or YAML with one table, whose name says of what kind they are."""

import difflib
import importlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from greenroom.sdk import Agent, AgentError

KINDS = {
    "router": "greenroom.agents.router.table:read_router",
    "http": "greenroom.agents.http.table:read_http",
    "openai": "greenroom.agents.http.table:read_openai",
    "llm": "greenroom.agents.llm.table:read_llm",
    "grpc": "greenroom.agents.remote.table:read_grpc",
    "command": "greenroom.agents.remote.table:read_command",
}
"""What reads a table, imported when one is met: it takes the table and the file's folder."""
SUFFIXES = (".toml", ".yaml", ".yml")


def read_agent_file(path: Path) -> Agent:
    """The agent that a file describes; paths in it are relative to it. Raises `AgentError` that names the file."""
    kind, settings = _one_table(path)
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean [{near[0]}]?" if near else f"there are {', '.join(f'[{known}]' for known in KINDS)}"
        raise AgentError(f"{path}: there is no kind of agent [{kind}]; {hint}")
    module, _, function = KINDS[kind].partition(":")
    read: Callable[[Mapping[str, Any], Path], Agent] = getattr(importlib.import_module(module), function)
    try:
        return read(settings, path.absolute().parent)
    except AgentError as problem:
        raise AgentError("\n".join(f"{path}: {line}" for line in str(problem).splitlines())) from None


def _one_table(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as problem:
        raise AgentError(f"cannot read {path}: {problem.strerror}") from None
    except (ValueError, yaml.YAMLError) as problem:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise AgentError(f"{path} is not valid {kind}: {problem}") from None
    if not isinstance(document, dict) or len(document) != 1 or not _is_table(*document.items()):
        found = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise AgentError(
            f"{path}: an agent file has one table that says its kind, for instance [http]; this has {found}"
        )
    return next(iter(document.items()))


def _is_table(item: tuple[Any, Any]) -> bool:
    """YAML has keys of any kind."""
    return isinstance(item[0], str) and isinstance(item[1], dict)
