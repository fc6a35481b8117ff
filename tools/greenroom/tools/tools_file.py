"""Tools files: which tools from elsewhere there are. TOML or YAML with a table for each, `[KIND.NAME]`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from greenroom.sdk import AgentError, ToolSource
from greenroom.tools.documents import each_line_of, read_document, reader_of

KINDS = {
    "http": "greenroom.tools.http.table:read_http",
    "openapi": "greenroom.tools.openapi.table:read_openapi",
    "grpc": "greenroom.tools.rpc.table:read_grpc",
    "mcp": "greenroom.tools.mcp.table:read_mcp",
}
"""What reads a table, imported when one is met: it takes the table, its name (`http.weather`) and the file's folder, and gives
the `ToolSource`, whose name is the table's."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def read_tools_file(path: Path) -> list[ToolSource]:
    """The sources of tools that a file describes, in its order; paths in it are relative to it. Raises `AgentError` with every
    mistake in it, one a line, that names the file and the table."""
    folder = path.absolute().parent
    sources: list[ToolSource] = []
    mistakes: list[str] = []
    for kind, name, table in _tables(path, read_document(path)):
        read = reader_of(kind, KINDS, f"{path}: there is no kind of tools")
        try:
            sources.append(read(table, f"{kind}.{name}", folder))
        except AgentError as problem:
            mistakes.append(each_line_of(path, problem))
    if mistakes:
        raise AgentError("\n".join(mistakes))
    return sources


def _tables(path: Path, document: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    shape = "a tools file has tables that say their kind and name, for instance [http.weather]"
    if not isinstance(document, dict) or not document:
        found = "nothing" if not document else f"a {type(document).__name__}"
        raise AgentError(f"{path}: {shape}; this has {found}")
    for kind, tables in document.items():
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise AgentError(f"{path}: {shape}; this has {kind}")
        for name, table in tables.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise AgentError(f"{path}: {kind}.{name}: a name is of letters, digits, '_' and '-'")
            yield str(kind), name, table
