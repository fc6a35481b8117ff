"""Files in which somebody describes agents or tools: TOML or YAML, tables whose names say of what kind they are."""

import difflib
import importlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from greenroom.sdk import AgentError

SUFFIXES = (".toml", ".yaml", ".yml")


def read_document(path: Path) -> Any:
    """What stands in the file. Raises `AgentError` that names it."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as problem:
        raise AgentError(f"cannot read {path}: {problem.strerror}") from None
    except yaml.MarkedYAMLError as problem:
        raise AgentError(f"{path} is not valid YAML: {_marked(problem)}") from None
    except (ValueError, yaml.YAMLError) as problem:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise AgentError(f"{path} is not valid {kind}: {problem}") from None


def _marked(problem: yaml.MarkedYAMLError) -> str:
    """In a line, as TOML's reader says it."""
    said = ": ".join(filter(None, (problem.context, problem.problem)))
    mark = problem.problem_mark or problem.context_mark
    return said if mark is None else f"{said} (at line {mark.line + 1}, column {mark.column + 1})"


def reader_of(kind: str, kinds: Mapping[str, str], unknown: str) -> Callable[..., Any]:
    """What reads a table of this kind, imported now: `kinds` has it as `module:function`. Raises `AgentError` where it has
    none: `unknown`, and which there are."""
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"did you mean [{near[0]}]?" if near else f"there are {', '.join(f'[{known}]' for known in kinds)}"
        raise AgentError(f"{unknown} [{kind}]; {hint}")
    module, _, function = kinds[kind].partition(":")
    read: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return read


def each_line_of(where: object, problem: Exception) -> str:
    """The mistakes that a problem tells, each with where it is: a file, a field. A line that begins with a space goes on with
    the one before it."""
    return "\n".join(line if line.startswith(" ") else f"{where}: {line}" for line in str(problem).splitlines())
