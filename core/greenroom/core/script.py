"""Scripted tools: the rules by which a scenario answers calls in a tool's place, or lets them wait."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from pydantic_core import to_jsonable_python

from greenroom.core.tools import ToolError


class Equal(msgspec.Struct, frozen=True, tag="equal"):
    """The argument is this value."""

    value: Any

    def holds(self, argument: Any) -> bool:
        return equal(argument, self.value)


class Among(msgspec.Struct, frozen=True, tag="in"):
    """The argument is one of these values."""

    values: tuple[Any, ...]

    def holds(self, argument: Any) -> bool:
        return any(equal(argument, value) for value in self.values)


class Found(msgspec.Struct, frozen=True, tag="regex"):
    """The argument is a text in which the pattern is found."""

    pattern: str

    def holds(self, argument: Any) -> bool:
        return isinstance(argument, str) and re.search(self.pattern, argument) is not None


Condition = Equal | Among | Found


class Fails(msgspec.Struct, frozen=True, tag="error"):
    """As a tool that raised a `ToolError`."""

    code: str
    message: str


class Returns(msgspec.Struct, frozen=True, tag="return"):
    """What the tool seems to return. Kept as JSON text: whoever gets it may change it."""

    json: str


class TimesOut(msgspec.Struct, frozen=True, tag="timeout"):
    """As a tool that did not answer in time, without the wait."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """When it applies (every condition that is given holds), and what happens then."""

    by: str
    """Its name in the record: the scenario that has it, and its place there."""
    call: int | None = None
    """The tool's n-th call along the session's path, from 1."""
    turn: int | None = None
    """The n-th turn along the path, from 1."""
    args: dict[str, Condition] = {}
    delay: float = 0.0
    """Seconds before anything happens."""
    outcome: Fails | Returns | TimesOut | None = None
    """None: the real tool is called."""

    def applies(self, call: int, turn: int, arguments: Mapping[str, Any]) -> bool:
        """`arguments` are those that the tool would get."""
        if self.call not in (None, call) or self.turn not in (None, turn):
            return False
        return all(condition.holds(_plain(arguments[name])) for name, condition in self.args.items())

    async def play(self, tool: Callable[[], Awaitable[Any]]) -> Any:
        """Does in the place of `tool`, which calls the real one, what the rule says."""
        if self.delay:
            await asyncio.sleep(self.delay)
        match self.outcome:
            case Fails(code, message):
                raise ToolError(message, code=code)
            case Returns(text):
                return json.loads(text)
            case TimesOut():
                raise TimeoutError
            case None:
                return await tool()


Rules = Mapping[str, tuple[Rule, ...]]
"""By tool. The first that applies decides; where none does, the real tool is called."""


class TurnScript:
    """The rules as one turn meets them. `earlier`: how often each tool was called on the way to it."""

    __slots__ = ("_calls", "_earlier", "_rules", "_turn")

    def __init__(self, rules: Rules, turn: int, earlier: Mapping[str, int]) -> None:
        self._rules = rules
        self._turn = turn
        self._earlier = earlier
        self._calls: dict[str, int] = {}

    def count(self, tool: str) -> int:
        """The number of the call that begins now."""
        number = self._calls.get(tool, self._earlier.get(tool, 0)) + 1
        self._calls[tool] = number
        return number

    def decide(self, tool: str, call: int, arguments: Mapping[str, Any]) -> Rule | None:
        for rule in self._rules.get(tool, ()):
            if rule.applies(call, self._turn, arguments):
                return rule
        return None


def equal(a: Any, b: Any) -> bool:
    """Whether two plain values are the same JSON; numbers by their value, and no boolean is a number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(one, other) for one, other in zip(a, b, strict=True))
    return bool(a == b)


def _plain(argument: Any) -> Any:
    """An argument as JSON has it: a tool may take models, dates or enumerations."""
    return argument if isinstance(argument, str) else to_jsonable_python(argument, fallback=str)
