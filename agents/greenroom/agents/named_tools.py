"""Tools that an agent file names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from greenroom.agents.author_module import import_from
from greenroom.sdk import AgentError, Tool, ToolSource
from greenroom.tools.documents import SUFFIXES, each_line_of
from greenroom.tools.tools_file import read_tools_file


def named_tools(names: Sequence[str], folder: Path, field: str) -> Iterator[Tool[..., Any] | ToolSource]:
    """`module:attribute` is one tool, `module` all that are in it, `tools.toml` a file of tools from elsewhere. Modules and
    files are looked for in the file's folder first. Raises `AgentError` that names the field."""
    for name in names:
        if name.endswith(SUFFIXES):
            try:
                yield from read_tools_file(folder / name)
            except AgentError as problem:
                raise AgentError(each_line_of(field, problem)) from None
        else:
            yield from _in_module(name, folder, field)


def _in_module(name: str, folder: Path, field: str) -> list[Tool[..., Any]]:
    module_name, _, attribute = name.partition(":")
    try:
        module = import_from(folder.resolve(), module_name)
    except AgentError as problem:
        raise AgentError(f"{field}: {name}: {problem}") from problem.__cause__
    there = {key: value for key, value in vars(module).items() if isinstance(value, Tool)}
    if attribute and attribute not in there:
        known = ", ".join(there) or "none; put @tool on the function"
        raise AgentError(f"{field}: {name}: {module_name} has no tool {attribute}; it has {known}")
    if not there:
        raise AgentError(f"{field}: {name}: {module_name} has no tools; put @tool on its functions")
    return [there[attribute]] if attribute else list(dict.fromkeys(there.values()))
