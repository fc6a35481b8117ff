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
        module = importlib.import_module(name)
        _check_origin(name, folder)
        return module
    except AgentError:
        raise
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        near = nearest_modules(missing, folder)
        if name == missing or name.startswith(f"{missing}."):
            _check_origin(name, folder)
            raise AgentError(f"no module {missing} in {here}{near}") from None
        if missing.partition(".")[0] in modules_in(folder):
            raise AgentError(f"{name} imports {missing}, which is not there") from problem
        raise AgentError(f"{name} imports {missing}, which is not installed{near}") from problem
    except (Exception, SystemExit) as problem:  # an author's module may raise anything while it is imported
        logger.debug("importing %s failed", name, exc_info=True)
        raise AgentError(f"importing {name} failed: {raised_text(problem)}") from problem


def modules_in(folder: Path) -> list[str]:
    """The names of the modules and packages in a folder."""
    return [path.stem for path in folder.glob("*.py")] + [path.parent.name for path in folder.glob("*/__init__.py")]


def nearest_modules(missing: str, folder: Path) -> str:
    """A hint at those whose names are like it, or ""."""
    return suggest(difflib.get_close_matches(missing, modules_in(folder), n=3))


def suggest(names: list[str]) -> str:
    """What may have been meant, as the end of a sentence."""
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _check_origin(name: str, folder: Path) -> None:
    """Raises `AgentError` where the folder has this module, and another of its name, or of its package's, was there before."""
    parts = name.split(".")
    if not _files(folder.joinpath(*parts)):
        return
    for depth in range(len(parts), 0, -1):
        there = ".".join(parts[:depth])
        found = getattr(sys.modules.get(there), "__file__", None)
        if found is not None:
            path = folder.joinpath(*parts[:depth])
            files = _files(path)
            if not any(file.samefile(found) for file in files):
                unread = [*files, path][0]
                raise AgentError(f"{unread} is not read: there is another module {there}, {found}; rename one of them")
            return


def _files(path: Path) -> list[Path]:
    return [file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()]


def raised_text(problem: BaseException) -> str:
    """As Python ends a traceback, without where a syntax error is. Further lines are indented."""
    lines = list(traceback.TracebackException.from_exception(problem).format_exception_only())
    said = "".join(lines[-1:] if isinstance(problem, SyntaxError) else lines)
    return "\n  ".join(said.splitlines())
