"""URLs and what is filled into them: it changes neither the host nor how many steps the path has."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from greenroom.sdk import AgentError, ToolError

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ORIGIN = re.compile(r"(https?://[^/?#{}@\\\s]+)", re.IGNORECASE)


class UrlTemplate:
    """`https://host/orders/{order_id}`; the host is fixed. Raises `AgentError` for anything else."""

    def __init__(self, text: str) -> None:
        origin = _ORIGIN.match(text)
        rest = text[origin.end() :] if origin else ""
        if origin is None or (rest and rest[0] not in "/?") or "#" in rest:
            raise AgentError(f"url: {text.rpartition('@')[2]!r} is no URL; one is https://host/orders/{{order_id}}")
        self.origin = origin[0]
        self._path, question, self._query = rest.partition("?")
        self._question = question
        self.names = tuple(_PLACEHOLDER.findall(rest))

    def filled(self, values: Mapping[str, str]) -> str:
        """The URL with these texts, percent-encoded already, in the places of their names. Raises `ToolError` for a text that
        would lead out of its place in the path."""
        path = _PLACEHOLDER.sub(lambda match: values[match[1]], self._path)
        for template, step in zip(self._path.split("/"), path.split("/"), strict=True):
            if template != step and (not step or _leads_away(step)):
                names = ", ".join(_PLACEHOLDER.findall(template))
                raise ToolError(f"{names}: {step!r} cannot stand in a path", code="invalid_arguments")
        return self.origin + path + self._question + _PLACEHOLDER.sub(lambda match: values[match[1]], self._query)


def _leads_away(step: str) -> bool:
    """Whether there are steps to here or up in it, as servers see them that decode a path before they walk it."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(step)))


def encoded(value: Any) -> str:
    """A value as it stands in a URL."""
    return quote(plain_text(value), safe="", errors="replace")


def plain_text(value: Any) -> str:
    """A string, number or boolean as JSON has it, without quotes. Raises `ToolError` for what has no such text."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case _:
            raise ToolError(f"{value!r:.80} is no single value", code="invalid_arguments")


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A list's items one by one; an object as JSON; nothing for null."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                found.append((name, json.dumps(item) if isinstance(item, dict | list) else plain_text(item)))
    return found
