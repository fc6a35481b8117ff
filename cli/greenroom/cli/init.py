"""`greenroom init`: a small project to begin with. `template/` is one, whose name is changed on the way."""

import keyword
import re
import shlex
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from greenroom.cli.process import CannotStart

_TEMPLATE = Path(__file__).with_name("template")
_NAME, _MODULE = "my-agent", "my_agent"
_RENAMED = {"gitignore": ".gitignore"}
"""A file of that name would hide others from whoever packs the template."""


def write_project(given: str) -> list[Path]:
    """Writes it into the folder of this name and returns its files. Raises `CannotStart`, and then nothing is written."""
    folder = Path(given)
    name = re.sub(r"[^a-z0-9]+", "-", folder.absolute().name.lower()).strip("-") or _NAME
    files = {folder / path: text for path, text in _files(name, module_name(name)).items()}
    try:
        if there := [path for path in files if path.exists()]:
            others = f" and {len(there) - 1} more of its files" if len(there) > 1 else ""
            raise CannotStart(f"there is {there[0]}{others} already; nothing was written")
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as problem:
        raise CannotStart(f"cannot write {problem.filename or folder}: {problem.strerror}") from None
    return list(files)


def enter(given: str) -> str:
    """What to type in a shell to be in the folder of this name, and go on; "" for the current one."""
    folder = str(Path(given))
    if folder == ".":
        return ""
    return f"cd {shlex.quote(f'./{folder}' if folder.startswith('-') else folder)}; "


def module_name(name: str) -> str:
    """What a project of this name calls its module: one that can be imported and hides no other."""
    module = name.replace("-", "_")
    if module[0].isdigit():
        module = f"agent_{module}"
    taken = module in (*sys.stdlib_module_names, "tests", "scenarios") or find_spec(module) is not None
    return f"{module}_agent" if taken or keyword.iskeyword(module) else module


def _files(name: str, module: str) -> Mapping[Path, str]:
    """The template's, by their paths in the project."""
    return {
        _own(path.relative_to(_TEMPLATE), module): path.read_text(encoding="utf-8")
        .replace(_NAME, name)
        .replace(_MODULE, module)
        for path in sorted(_TEMPLATE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _own(path: Path, module: str) -> Path:
    return path.with_name(_RENAMED.get(path.name, path.name).replace(_MODULE, module))
