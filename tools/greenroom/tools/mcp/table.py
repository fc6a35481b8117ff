"""The `[mcp.NAME]` tables of tools files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from greenroom.sdk import AgentError
from greenroom.tools.mcp.server import McpServer
from greenroom.tools.mcp.settings import McpSettings
from greenroom.tools.tables import read_table


def read_mcp(settings: Mapping[str, Any], name: str, folder: Path) -> McpServer:
    """`name` is the table's. A program with a slash in its name is looked for in the file's folder, where it runs, too. Raises
    `AgentError`."""
    table = read_table(McpSettings, settings, name)
    parts = urlsplit(table.url)
    if parts.username is not None or parts.password is not None:
        raise AgentError(f"{name}.url: a secret has no place in a file; name the variable in header_env or bearer_env")
    return McpServer(name.partition(".")[2], folder=folder, **settings)
