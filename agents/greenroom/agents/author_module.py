"""The modules that an agent's author wrote, imported from the folder that they are in."""

import difflib
import importlib
import logging
import sys
import traceback
from pathlib import Path
from types import ModuleType

from greenroom.sdk import AgentError

logger = logging.getLogger(__name__)


def import_from(folder: Path, name: str) -> ModuleType:
    """The module of this name, looked for in the folder first. Raises `AgentError`; its cause is what the author's code
    raised, and knows where."""
    here = str(folder)
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _of_folder(importlib.import_module(name), folder)
    except AgentError:
        raise
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        near = nearest_modules(missing, folder)
        if name == missing or name.startswith(f"{missing}."):
            raise AgentError(f"no module {missing} in {here}{near}") from None
        raise AgentError(f"{name} imports {missing}, which is not installed{near}") from problem
    except (Exception, SystemExit) as problem:  # an author's module may raise anything while it is imported
        logger.debug("importing %s failed", name, exc_info=True)
        raise AgentError(f"importing {name} failed: {_told(problem)}") from problem


def modules_in(folder: Path) -> list[str]:
    """The names of the modules and packages in a folder."""
    return [path.stem for path in folder.glob("*.py")] + [path.parent.name for path in folder.glob("*/__init__.py")]


def nearest_modules(missing: str, folder: Path) -> str:
    """A hint at those whose names are like it, or ""."""
    return suggest(difflib.get_close_matches(missing, modules_in(folder), n=3))


def suggest(names: list[str]) -> str:
    """What may have been meant, as the end of a sentence."""
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _of_folder(module: ModuleType, folder: Path) -> ModuleType:
    """The module. Raises `AgentError` where another of its name, of another folder, was there before it."""
    path = folder.joinpath(*module.__name__.split("."))
    there = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    found = getattr(module, "__file__", None)
    if there is not None and found is not None and not there.samefile(found):
        raise AgentError(f"{there} is not read: there is another module {module.__name__}, {found}; rename one of them")
    return module


def _told(problem: BaseException) -> str:
    """As Python ends a traceback, without where a syntax error is. Further lines are indented."""
    lines = list(traceback.TracebackException.from_exception(problem).format_exception_only())
    said = "".join(lines[-1:] if isinstance(problem, SyntaxError) else lines)
    return "\n  ".join(said.splitlines())
