"""JSON that came as text from a process that is not ours."""

import json
from typing import Any

from greenroom.agents.remote.failure import RemoteFailed
from greenroom.tools.excerpt import shortened


def read(text: str) -> Any:
    """Raises `ValueError` for what is no JSON; NaN and Infinity are none."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object; "" is an empty one. Raises `RemoteFailed` naming where it stands."""
    if not text:
        return {}
    try:
        value = read(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RemoteFailed(f"{where} is no JSON object: {shortened(text)}")
    return value


def write(value: object) -> str:
    """Compact ASCII: a lone surrogate in it passes every wire."""
    return json.dumps(value, separators=(",", ":"))


def line(value: object) -> bytes:
    """Compact UTF-8 that ends its line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
