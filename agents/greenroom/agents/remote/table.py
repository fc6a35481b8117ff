"""The `[grpc]` and `[command]` tables of agent files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from greenroom.agents.named_tools import named_tools
from greenroom.agents.remote.command.agent import CommandAgent
from greenroom.agents.remote.rpc.agent import GrpcAgent
from greenroom.tools.tables import Table, read_table


class GrpcTable(Table):
    """As `GrpcAgent` takes them; `authority` and `world` are beside the file."""

    target: str = Field(examples=["grpc://host:port"])
    tools: tuple[str, ...] = ()
    world: str | None = None
    key_env: str = ""
    authority: str | None = None
    tool_service: str = ""


class CommandTable(Table):
    """As `CommandAgent` takes them; `world` is beside the file, and so is a program with a slash in its name."""

    command: str | list[str] = Field(examples=["./agent"])
    name: str = ""
    tools: tuple[str, ...] = ()
    world: str | None = None
    workers: int = Field(0, ge=0)


def read_grpc(settings: Mapping[str, Any], folder: Path) -> GrpcAgent:
    """Raises `AgentError`."""
    table = read_table(GrpcTable, settings, "grpc")
    return GrpcAgent(
        table.target,
        tools=list(named_tools(table.tools, folder, "grpc.tools")),
        world=None if table.world is None else folder / table.world,
        key_env=table.key_env,
        authority=None if table.authority is None else folder / table.authority,
        tool_service=table.tool_service,
    )


def read_command(settings: Mapping[str, Any], folder: Path) -> CommandAgent:
    """Raises `AgentError`."""
    table = read_table(CommandTable, settings, "command")
    words = [table.command] if isinstance(table.command, str) else list(table.command)
    if words and "/" in words[0]:
        words[0] = str(folder / words[0])
    return CommandAgent(
        words,
        name=table.name,
        tools=list(named_tools(table.tools, folder, "command.tools")),
        world=None if table.world is None else folder / table.world,
        workers=table.workers,
    )
