"""A framework's tools, run through the turn's toolbox: scenarios script them, their timeouts, worlds and evidence hold."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import to_jsonable_python

from greenroom.agents.adapters.taped_http import TURN, tape_http
from greenroom.sdk import AgentError, Tool, Turn

Run = Callable[[dict[str, Any]], Awaitable[Any]]
"""Runs a framework's tool on some arguments. What it returns is the framework's own: any object."""


@dataclass(slots=True)
class _Running:
    """A call that a framework has begun, on its way through the toolbox."""

    run: Run
    show: Callable[[Any], Any]
    value: Any = None
    ran: bool = False
    """Whether `value` is what the tool gave; a scenario may have answered in its place."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """What a scenario had a tool answer, as JSON: the framework's tool did not run."""

    value: Any


AS_JSON: Final[Mapping[str, Any]] = MappingProxyType({
    "fallback": str, "bytes_mode": "base64", "inf_nan_mode": "null",
})  # fmt: skip
"""How pydantic writes what is no JSON."""
_turn: ContextVar[Turn | None] = ContextVar("greenroom_turn", default=None)
_running: ContextVar[_Running | None] = ContextVar("greenroom_running", default=None)


def current_turn() -> Turn:
    """The turn that a framework's code runs for: `current_turn().world` is the session's own world. Raises `AgentError`
    outside a turn."""
    turn = _turn.get()
    if turn is None:
        raise AgentError("current_turn() is for code that runs within a turn of an adapted agent")
    turn.stays_live()  # who has the turn may do anything with it
    return turn


@contextmanager
def serving(turn: Turn) -> Iterator[None]:
    """Makes it the current turn."""
    token = _turn.set(turn)
    taped = None
    if turn.is_taped:
        tape_http()
        taped = TURN.set(turn)
    try:
        yield
    finally:
        if taped is not None:
            TURN.reset(taped)
        _turn.reset(token)


def framework_tool(
    name: str, alone: Run, *, description: str, parameters: Mapping[str, Any], replayable: bool = False
) -> Tool[..., Any]:
    """A framework's tool as one of the agent's. `alone` runs it where no framework has called it (a process elsewhere may,
    by the turn's token); it is not asked when the call comes by `run_in_turn`. `replayable`: it takes nothing of its
    framework's run, so a cassette may answer in its place; not where it failed, asked for the turn, or gave no plain JSON:
    the framework may tell those from what a cassette has."""

    async def function(arguments: dict[str, Any], turn: Turn) -> Any:
        running = _running.get()
        token = _running.set(None)  # what the tool itself calls is another call
        try:
            if running is None:
                with serving(turn):
                    value = await alone(arguments)
            else:
                value = await running.run(arguments)
        except BaseException:
            turn.stays_live()
            raise
        finally:
            _running.reset(token)
        if replayable and not is_plain(value):
            turn.stays_live()
        if running is None:
            return as_json(value)
        running.value, running.ran = value, True
        return running.show(value)

    return Tool.described(name, function, description=description, parameters=parameters, replayable=replayable)


async def run_in_turn(
    turn: Turn, tool: Tool[..., Any], arguments: Mapping[str, Any], run: Run, show: Callable[[Any], Any] | None = None
) -> Any:
    """Runs a call that the framework has begun, through the turn's toolbox. Returns what `run` returned, or `Scripted`.
    Raises `ToolFailed`, from what the tool itself raised, if it ran. `show` makes JSON of a result, for the evidence."""
    running = _Running(run, show or as_json)
    token = _running.set(running)
    try:
        result = await turn.call(tool, **arguments)
    finally:
        _running.reset(token)
    return running.value if running.ran else Scripted(result)


def is_plain(value: Any) -> bool:
    """Whether it is JSON as it stands: what is read from JSON of it is the same."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if kind is list:
        return all(map(is_plain, value))
    return value is None or kind in (str, int, bool) or (kind is float and isfinite(value))


def as_json(value: Any) -> Any:
    """A framework's value as JSON: models and data classes as objects, what has no such form as its text."""
    return to_jsonable_python(value, **AS_JSON)
