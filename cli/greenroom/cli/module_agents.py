"""From `module:attribute` in the current folder to an agent."""

import difflib
import importlib
import logging
import sys
from collections.abc import Iterable
from inspect import isfunction
from pathlib import Path
from types import ModuleType

from greenroom.core.agent import Agent, AgentError, as_agent

logger = logging.getLogger(__name__)


def agent_in_module(name: str, known: Iterable[str]) -> Agent:
    """Raises `AgentError` with what to do about it. `known`: names that stand for agents."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise AgentError(_unclear(name, known))
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").removeprefix("./").replace("/", ".")
        raise AgentError(f"name the module, not its file: {dotted}:{attribute}")
    module = _import(module_name)
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise AgentError(f"{module_name} has no {attribute}{_nearest_names(module, attribute)}")
        found = getattr(found, part)
    try:
        return as_agent(found, name)
    except AgentError as problem:
        raise AgentError(f"{problem}{_agents_there(module, attribute)}") from None


def _unclear(name: str, known: Iterable[str]) -> str:
    if Path(f"{name}.py").is_file():
        return f"say which object of the module it is, for instance {name}:agent"
    return f"there is no such agent; give {', '.join(known)}, or module:attribute from the current folder"


def _import(module_name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise AgentError(f"no module {missing} in {here}{_nearest_modules(missing)}") from None
        raise AgentError(f"{module_name} imports {missing}, which is not installed") from None
    except Exception as problem:  # an author's module may raise anything while it is imported
        logger.exception("importing %s failed", module_name)
        raise AgentError(f"importing {module_name} failed: {type(problem).__name__}: {problem}") from None


def _nearest_modules(missing: str) -> str:
    there = [path.stem for path in Path.cwd().glob("*.py")] + [
        path.parent.name for path in Path.cwd().glob("*/__init__.py")
    ]
    return _suggest(difflib.get_close_matches(missing, there, n=3))


def _nearest_names(module: ModuleType, attribute: str) -> str:
    """Of what could be served: agents, and functions of this module."""
    there = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Agent) or (isfunction(value) and value.__module__ == module.__name__)
    }
    agents = [name for name, value in there.items() if isinstance(value, Agent)]
    return _suggest(difflib.get_close_matches(attribute, there, n=3) or agents)


def _agents_there(module: ModuleType, attribute: str) -> str:
    return _suggest([name for name, value in vars(module).items() if isinstance(value, Agent) and name != attribute])


def _suggest(names: list[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""
