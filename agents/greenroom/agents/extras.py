"""Packages that only some agents need: imported when they are first used."""

import importlib
from typing import Any

from greenroom.sdk import AgentError


def load(module: str, extra: str) -> Any:
    """The module of an optional package. Raises `AgentError` that names the extra where the package is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        package = module.partition(".")[0]
        if (missing.name or "").partition(".")[0] != package:
            raise
        raise AgentError(f"{package} is not installed; pip install 'greenroom[{extra}]'") from None
