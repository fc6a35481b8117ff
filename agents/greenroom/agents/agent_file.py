"""Agents that are described by a file: TOML or YAML with one table, whose name says of what kind they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenroom.sdk import Agent, AgentError
from greenroom.tools.documents import each_line_of, read_document, reader_of

KINDS = {
    "router": "greenroom.agents.router.table:read_router",
    "http": "greenroom.agents.http.table:read_http",
    "openai": "greenroom.agents.http.table:read_openai",
    "llm": "greenroom.agents.llm.table:read_llm",
    "grpc": "greenroom.agents.remote.table:read_grpc",
    "command": "greenroom.agents.remote.table:read_command",
}
"""What reads a table, imported when one is met: it takes the table and the file's folder."""


def read_agent_file(path: Path) -> Agent:
    """The agent that a file describes; paths in it are relative to it. Raises `AgentError` that names the file."""
    kind, settings = _one_table(path)
    read = reader_of(kind, KINDS, f"{path}: there is no kind of agent")
    try:
        agent: Agent = read(settings, path.absolute().parent)
    except AgentError as problem:
        raise AgentError(each_line_of(path, problem)) from None
    return agent


def _one_table(path: Path) -> tuple[str, Mapping[str, Any]]:
    document = read_document(path)
    if not isinstance(document, dict) or len(document) != 1 or not _is_table(*document.items()):
        found = ", ".join(map(str, document)) if isinstance(document, dict) else f"a {type(document).__name__}"
        raise AgentError(
            f"{path}: an agent file has one table that says its kind, for instance [http]; this has {found or 'none'}"
        )
    return next(iter(document.items()))


def _is_table(item: tuple[Any, Any]) -> bool:
    """YAML has keys of any kind."""
    return isinstance(item[0], str) and isinstance(item[1], dict)
