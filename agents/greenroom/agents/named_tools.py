"""Tools that an agent file names."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from greenroom.sdk import AgentError, Tool, ToolSource
from greenroom.tools.documents import SUFFIXES
from greenroom.tools.tools_file import read_tools_file


def named_tools(names: Sequence[str], folder: Path, field: str) -> Iterator[Tool[..., Any] | ToolSource]:
    """`module:attribute` is one tool, `module` all that are in it, `tools.toml` a file of tools from elsewhere. Modules and
    files are looked for in the file's folder first. Raises `AgentError` that names the field."""
    home = str(folder.resolve())
    if names and home not in sys.path:
        sys.path.insert(0, home)
    for name in names:
        if name.endswith(SUFFIXES):
            try:
                yield from read_tools_file(folder / name)
            except AgentError as problem:
                raise AgentError("\n".join(f"{field}: {line}" for line in str(problem).splitlines())) from None
        else:
            yield from _in_module(name, folder, field)


def _in_module(name: str, folder: Path, field: str) -> list[Tool[..., Any]]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        raise AgentError(f"{field}: {name}: no module {missing.name} in {folder}") from None
    there = {key: value for key, value in vars(module).items() if isinstance(value, Tool)}
    if attribute and attribute not in there:
        known = ", ".join(there) or "none; put @tool on the function"
        raise AgentError(f"{field}: {name}: {module_name} has no tool {attribute}; it has {known}")
    if not there:
        raise AgentError(f"{field}: {name}: {module_name} has no tools; put @tool on its functions")
    return [there[attribute]] if attribute else list(dict.fromkeys(there.values()))
