"""Where each setting's value comes from, and what to say when it is wrong."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from greenroom.cli.settings import FILE, PREFIX, Settings, file_values, flag_of, variables_of

KNOWN_ELSEWHERE = ("GREENROOM_DOMAIN", "GREENROOM_KEY")
"""Variables with our prefix that the compose file and `greenroom check` read."""


class WrongSetting(Exception):
    """A setting cannot be used. The text names it, its source and what would be right; it never shows a secret."""


def load(flags: Mapping[str, Any]) -> Settings:
    """The settings; `flags` holds what was given on the command line, by the settings' names. Raises `WrongSetting`."""
    try:
        return Settings(**flags)
    except ValidationError as problem:
        raise WrongSetting("\n".join(_explain(error, flags) for error in problem.errors(include_url=False))) from None
    except tomllib.TOMLDecodeError as problem:
        raise WrongSetting(f"{FILE} is not valid TOML: {problem}") from None
    except OSError as problem:
        raise WrongSetting(f"cannot read {FILE}: {problem.strerror}") from None


def source_of(name: str, flags: Mapping[str, Any]) -> str:
    """What decided this setting: its flag, a variable, the file or `default`."""
    if name in flags:
        return flag_of(name) or "the argument"
    for variable in variables_of(name):
        if os.environ.get(variable):
            return variable
    return FILE if name in file_values() else "default"


def unknown_variables() -> list[str]:
    """What looks like a setting in the environment and is none, with the name that may have been meant."""
    known = {variable for name in Settings.model_fields for variable in variables_of(name)} | {*KNOWN_ELSEWHERE}
    found = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return [f"{name} is no setting{_nearest(name, known)}" for name in found]


def _explain(error: Any, flags: Mapping[str, Any]) -> str:
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{FILE}: there is no setting {name}{_nearest(name, Settings.model_fields)}"
    source = source_of(name, flags)
    if error["type"] == "too_short":
        return f"{name} (from {source}): at least one is needed"
    text = error["msg"].removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    shown = "" if _is_secret(name) else f", not {_short(error['input'])}"
    return f"{name} (from {source}): {text}{shown}"


def _is_secret(name: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[name].annotation) or isinstance(
        Settings.model_fields[name].default, SecretStr
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
