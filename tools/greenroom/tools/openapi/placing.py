"""Where an operation's arguments go in its request, in the styles that OpenAPI has for them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from greenroom.sdk import ToolError
from greenroom.tools.http.url import encoded, plain_text

Place = Literal["path", "query", "header", "cookie"]
_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_SEPARATORS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: `argument` is what the tool calls it."""

    argument: str
    name: str
    place: Place
    style: str
    explode: bool
    is_json: bool
    """Whether its value is written as JSON."""

    @classmethod
    def read(cls, argument: str, node: dict[str, Any]) -> "Parameter":
        """From the document's parameter object."""
        place: Place = node["in"]
        style = node.get("style") or _STYLES[place]
        explode = node.get("explode")
        is_json = "content" in node
        return cls(argument, node["name"], place, style, style == "form" if explode is None else bool(explode), is_json)

    def in_path(self, value: Any) -> str:
        """Percent-encoded. Raises `ToolError`."""
        match self.style:
            case "label":
                return "." + self._joined(value, "." if self.explode else ",", encoded)
            case "matrix" if isinstance(value, list) and self.explode:
                return "".join(f";{encoded(self.name)}={encoded(item)}" for item in value)
            case "matrix" if isinstance(value, dict) and self.explode:
                return ";" + self._joined(value, ";", encoded)
            case "matrix":
                return f";{encoded(self.name)}={self._joined(value, ',', encoded)}"
            case _:
                return self._joined(value, ",", encoded)

    def in_query(self, value: Any) -> list[tuple[str, str]]:
        """Pairs, not encoded yet: a query's or a cookie's. Raises `ToolError`."""
        if value is None:
            return []
        if not self.is_json:
            if self.style == "deepObject":
                return list(_deep(self.name, value))
            if isinstance(value, list) and self.explode:
                return [(self.name, plain_text(item)) for item in value]
            if isinstance(value, dict) and self.explode:
                return [(key, plain_text(item)) for key, item in value.items() if item is not None]
        return [(self.name, self._joined(value, _SEPARATORS.get(self.style, ","), plain_text))]

    def in_header(self, value: Any) -> str:
        """Raises `ToolError`."""
        return self._joined(value, ",", plain_text)

    def _joined(self, value: Any, separator: str, written: Callable[[Any], str]) -> str:
        if self.is_json:
            return written(json.dumps(value, ensure_ascii=False))
        if isinstance(value, dict):
            between = "=" if self.explode else separator
            return separator.join(f"{written(key)}{between}{written(item)}" for key, item in value.items())
        if isinstance(value, list):
            return separator.join(map(written, value))
        if value is None:
            raise ToolError(f"{self.argument}: null has no place there", code="invalid_arguments")
        return written(value)


def _deep(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """OpenAPI has it for an object of single values; lists and objects in it are as servers that take it have them."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _deep(f"{name}[{key}]", item)
    elif value is not None:
        yield name, plain_text(value)
