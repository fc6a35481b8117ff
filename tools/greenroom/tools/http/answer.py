"""What a server answered, as the result of a tool call: within a bound, as JSON where it is some."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from greenroom.sdk import AgentError, ToolError
from greenroom.tools.excerpt import beginning, shortened
from greenroom.tools.extras import import_extra

LONGEST = 8 * 1024 * 1024
"""Bytes that are read of an answer at most."""
_QUOTED = 2000
"""Bytes of an error that are looked at."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is there. `name` is the source's, for errors."""

    name: str
    status: int
    kind: str
    """Its media type, in lower case."""
    body: bytes
    is_whole: bool
    """Whether `body` is all of it."""

    def result(self, selection: "Selection | None", bound: int) -> Any:
        """The call's result: JSON, or a text; past `bound` bytes an object that says so, with its beginning. Raises `ToolError`
        for what is neither, and where the selection finds nothing."""
        if not self.is_whole:
            if selection is not None:
                raise ToolError(f"{self.name}: the answer has more than {LONGEST} bytes", code="too_large")
            return beginning(self._text(), f"more than {LONGEST}", bound)
        if not self.body:
            return self._selected(None, selection)
        value = self._value()
        if selection is None and len(self.body) <= bound:
            return value
        value = self._selected(value, selection)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode(errors="replace"))
        return value if size <= bound else beginning(text, str(size), bound)

    @property
    def quote(self) -> str:
        """The beginning of what it says, on one line."""
        return shortened(self.body[:_QUOTED].decode(errors="replace"))

    def _value(self) -> Any:
        if self.kind.endswith(("/json", "+json")) or not self.kind:
            try:
                return json.loads(self.body)
            except (ValueError, RecursionError):
                if self.kind:
                    raise ToolError(
                        f"{self.name}: the answer says that it is JSON, and is not: {self.quote}", code="bad_answer"
                    ) from None
        return self._text()

    def _text(self) -> str:
        try:
            text = self.body.decode()
        except UnicodeDecodeError as problem:
            if self.is_whole or problem.end < len(self.body) - 3:  # it may have been cut within a character
                told = self.kind or "of no known kind"
                raise ToolError(
                    f"{self.name}: the answer is no text: {len(self.body)} bytes, {told}", code="bad_answer"
                ) from None
            text = self.body.decode(errors="ignore")
        return text

    def _selected(self, value: Any, selection: "Selection | None") -> Any:
        if selection is None:
            return value
        try:
            return selection.of(value)
        except LookupError as problem:
            raise ToolError(f"{self.name}: {problem.args[0]}", code="bad_answer") from None


class Selection:
    """A part of an answer, by JSONPath (RFC 9535). Raises `AgentError` for what is none."""

    def __init__(self, source: str) -> None:
        jsonpath = import_extra("jsonpath_rfc9535", "http")
        self._source = source
        self._problem = jsonpath.JSONPathError
        try:
            self._query = jsonpath.compile(source)
        except jsonpath.JSONPathError as problem:
            raise AgentError(f"{source!r} is no JSONPath ({problem}); one is $.items[0].name") from None

    def of(self, value: Any) -> Any:
        """What is there; a list of all where the path may find several. Raises `LookupError` where it finds nothing."""
        found = list(self._nodes(value))
        if not self._query.singular_query():
            return found
        if not found:
            has = f"the keys {', '.join(map(str, list(value)[:20]))}" if isinstance(value, dict) else "none"
            raise LookupError(f"the answer has no {self._source}; it has {has}")
        return found[0]

    def _nodes(self, value: Any) -> Iterator[Any]:
        try:
            for node in self._query.finditer(value):
                yield node.value
        except self._problem as problem:  # what it finds may be too deep, or of a kind that a filter cannot compare
            raise LookupError(f"{self._source}: {problem}") from None
