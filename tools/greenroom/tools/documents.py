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
    except (ValueError, yaml.YAMLError) as problem:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise AgentError(f"{path} is not valid {kind}: {problem}") from None


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


def each_line_of(path: Path, problem: AgentError) -> str:
    """The mistakes that a problem tells, each with the file it is in."""
    return "\n".join(f"{path}: {line}" for line in str(problem).splitlines())
