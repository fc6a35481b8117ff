"""A reply that a test has played, with what can be asked of it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar, cast

from greenroom.core.records import Change, ToolCallRecord
from greenroom.core.tools import Tool

_LEFT_OUT = object()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PlayedChange:
    """One record of the world that the turn changed. `before` None: there was none; `after` None: it is gone. `key` None: the
    collection is itself one plain value."""

    collection: str
    key: str | None
    before: Any
    after: Any

    def __repr__(self) -> str:
        place = self.collection if self.key is None else f"{self.collection}/{self.key}"
        return f"{place}: {self.before!r} -> {self.after!r}"


class Found(tuple[T, ...]):
    """What was asked for. Empty, it shows what there was instead: that is what a failed `assert` prints."""

    asked: str
    instead: tuple[T, ...]

    def __new__(cls, found: Iterable[T], asked: str = "", instead: Iterable[T] = ()) -> Self:
        made = super().__new__(cls, found)
        made.asked, made.instead = asked, tuple(instead)
        return made

    def __repr__(self) -> str:
        return super().__repr__() if self or not self.asked else f"<{self._missing()}>"

    def _missing(self) -> str:
        raise NotImplementedError


class Changes(Found[PlayedChange]):
    """Changes that were asked for."""

    def _missing(self) -> str:
        changed = ", ".join(map(repr, self.instead)) or "nothing"
        return f"no change of {self.asked}; changed: {changed}"


@dataclass(frozen=True, slots=True)
class PlayedCall:
    """One tool call. `result` is what the tool returned, None where it failed; `error` then says how: {"type", "message"}."""

    name: str
    arguments: dict[str, Any]
    result: Any
    ok: bool
    error: dict[str, str] | None
    seconds: float
    scripted_by: str
    """The rule of the scenario that decided it; "" for a real call."""
    changes: Changes

    def __repr__(self) -> str:
        outcome = f"-> {self.result!r}" if self.error is None else f"failed: {': '.join(self.error.values())}"
        return f"{_call(self.name, self.arguments)} {outcome}"


class Calls(Found[PlayedCall]):
    """Calls that were asked for, in order of start."""

    def _missing(self) -> str:
        called = ", ".join(_call(call.name, call.arguments) for call in self.instead) or "nothing"
        return f"no call of {self.asked}; called: {called}"


@dataclass(frozen=True, slots=True, repr=False)
class PlayedReply:
    """A reply with its evidence."""

    text: str
    tool_calls: tuple[ToolCallRecord, ...]
    """As they are stored; `called` is the same to be read."""
    confidence: float | None
    evaluation: dict[str, Any]
    metadata: dict[str, Any]
    """What the agent added to its reply's metadata."""
    turn: int
    history: str
    """Where the turn was placed: "new", "next", "continued", …"""
    world: dict[str, Any]
    """The world after the turn."""
    changes: Changes = field(default_factory=lambda: Changes(()))
    """What the turn changed in the world, in order of collection and key."""

    def __repr__(self) -> str:
        return f"PlayedReply({self.text!r}, {len(self.tool_calls)} calls, {len(self.changes)} changes)"

    def called(self, tool: Tool[..., Any] | str = "", /, **arguments: Any) -> Calls:
        """The turn's calls of this tool ("": of any) that had these arguments, whatever others they had; empty for none."""
        name = tool if isinstance(tool, str) else tool.name
        calls = tuple(map(_played, self.tool_calls))
        found = (
            call
            for call in calls
            if name in ("", call.name)
            and all(call.arguments.get(key, _LEFT_OUT) == value for key, value in arguments.items())
        )
        return Calls(found, _call(name or "any tool", arguments), calls)

    def call(self, tool: Tool[..., Any] | str = "", /, **arguments: Any) -> PlayedCall:
        """The one call that `called` finds. Raises `AssertionError` when it finds none, or several."""
        __tracebackhide__ = True
        found = self.called(tool, **arguments)
        if len(found) == 1:
            return found[0]
        many = f"{len(found)} calls" if found else "no call"
        lines = [f"{many} of {found.asked}; the turn called"]
        lines += [f"  {call!r}" for call in found.instead] or ["  nothing"]
        raise AssertionError("\n".join(lines))

    def changed(self, collection: str, key: str | None = None, /, **fields: Any) -> Changes:
        """What the turn changed in a collection, or in the record of this key, where the record has these fields afterwards;
        empty for none."""
        found = (
            change
            for change in self.changes
            if change.collection == collection
            and key in (None, change.key)
            and all(_fields(change.after).get(name, _LEFT_OUT) == value for name, value in fields.items())
        )
        place = collection if key is None else f"{collection}/{key}"
        wanted = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        return Changes(found, f"{place} to {wanted}" if wanted else place, self.changes)


def _fields(record: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", record) if isinstance(record, dict) else {}


def _call(name: str, arguments: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _played(record: ToolCallRecord) -> PlayedCall:
    outcome = json.loads(record.result_json)
    return PlayedCall(
        record.name,
        json.loads(record.arguments_json),
        outcome if record.ok else None,
        record.ok,
        None if record.ok else outcome["error"],
        record.duration_us / 1e6,
        record.scripted_by,
        played_changes(record.changes),
    )


def played_changes(changes: Iterable[Change]) -> Changes:
    """As they are stored, to be read."""
    return Changes(
        PlayedChange(change.collection, change.key, _value(change.before), _value(change.after)) for change in changes
    )


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
