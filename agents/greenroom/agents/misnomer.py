"""What is said of an AGENT that names none: what would be right."""

import difflib
import os
from collections.abc import Collection
from pathlib import Path

from greenroom.agents.author_module import modules_in, suggest


def explain(name: str, folder: Path, known: Collection[str]) -> str:
    """`known` are the names of agents that need no module."""
    module, colon, attribute = name.partition(":")
    if "://" in name:
        return _of_address(module)
    if module.endswith(".py") or (colon and "/" in module):
        return _of_path(module, attribute or "agent", folder)
    if module.startswith("."):
        return f"modules are named from the current folder: {name.lstrip('.')}"
    if colon:
        return f"say which object of the module it is, for instance {module}:agent" if module else _no_module(attribute)
    there = modules_in(folder)
    if name in there:
        return f"say which object of the module it is, for instance {name}:agent"
    if (folder / name).is_dir():
        return f"it is a folder; agents are named from within it: cd {name}"
    if (folder / name).is_file():
        return f"an agent file ends in .toml, .yaml or .yml, and a program is written with its folder: ./{name}"
    head, _, tail = name.rpartition(".")
    if folder.joinpath(*name.split(".")).with_suffix(".py").is_file():
        return f"say which object of the module it is, for instance {name}:agent"
    if head in there:
        return f"an object of a module is named after a colon: {head}:{tail}"
    if near := difflib.get_close_matches(name, [*known, *(f"{one}:agent" for one in there)], n=2):
        return f"there is no such agent{suggest(near)}"
    forms = [*known, "module:attribute from the current folder", "an agent file (.toml, .yaml)", "./program"]
    return f"there is no such agent; give {', '.join(forms)}, or an address (docs/agents.md)"


def _no_module(attribute: str) -> str:
    return f"say which module it is in, for instance my_agent:{attribute or 'agent'}"


def _of_address(scheme: str) -> str:
    if scheme.lower() in ("http", "https"):
        return "an endpoint is described by an agent file here, with [http] or [openai] (docs/http-agent.md)"
    return f"no agent is asked at {scheme}://; an endpoint is at http:// or https://, a process at grpc:// or grpcs://"


def _of_path(file: str, attribute: str, folder: Path) -> str:
    path = Path(os.path.normpath(folder / f"{file.removesuffix('.py')}.py"))
    if not path.is_file() and not path.with_suffix("").joinpath("__init__.py").is_file():
        near = difflib.get_close_matches(path.stem, modules_in(path.parent), n=1)
        return f"there is no file {path}{suggest([str(path.with_stem(one)) for one in near])}"
    if not path.is_relative_to(folder):
        return f"modules are named from the folder they are in: cd {path.parent}, and then {path.stem}:{attribute}"
    dotted = ".".join(path.relative_to(folder).with_suffix("").parts)
    runs = os.access(path, os.X_OK)
    program = "; a program that is an agent is named without .py, or by a file with [command]" if runs else ""
    return f"name the module, not its file: {dotted}:{attribute}{program}"
