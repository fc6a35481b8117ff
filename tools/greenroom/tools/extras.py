"""Packages that only some agents need: imported when they are first used."""

import importlib
from typing import Any

from greenroom.sdk import AgentError


def import_extra(module: str, extra: str) -> Any:
    """A module of an optional package, or one of ours that imports such packages. Raises `AgentError` that names the extra
    where one is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == "greenroom":
            raise
        raise AgentError(f"{missing.name} is not installed; pip install 'greenroom[{extra}]'") from missing
