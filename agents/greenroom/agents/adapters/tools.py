"""A framework's tools, run through the turn's toolbox: scenarios script them, their timeouts, worlds and evidence hold."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import to_jsonable_python

from greenroom.agents.adapters.again import Again
from greenroom.agents.adapters.taped_http import TURN, tape_http
from greenroom.sdk import AgentError, Tool, ToolFailed, Turn

Run = Callable[[dict[str, Any]], Awaitable[Any]]
"""Runs a framework's tool on some arguments. What it returns is the framework's own: any object."""


@dataclass(slots=True)
class _Running:
    """A call that a framework has begun, on its way through the toolbox."""

    run: Run
    show: Callable[[Any], Any]
    again: Again
    value: Any = None
    ran: bool = False
    """Whether `value` is what the tool gave; a scenario may have answered in its place."""
    is_replayed: bool = False
    """Whether a cassette answers in its place."""


@dataclass(frozen=True, slots=True)
class Scripted:
    """What a scenario had a tool answer, as JSON: the framework's tool did not run."""

    value: Any


AS_JSON: Final[Mapping[str, Any]] = MappingProxyType({
    "fallback": str, "bytes_mode": "base64", "inf_nan_mode": "null",
})  # fmt: skip
"""How pydantic writes what is no JSON."""
AS_IT_IS: Final = Again()
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
    framework's run, so a cassette may answer in its place; not where it asked for the turn, or had another tool called, and
    not where the framework would tell the answer from what the tool gave (see `Again`)."""

    async def function(arguments: dict[str, Any], turn: Turn) -> Any:
        running = _running.get()
        token = _running.set(None)  # what the tool itself calls is another call
        again = AS_IT_IS if running is None else running.again
        try:
            if running is None:
                with serving(turn):
                    value = await alone(arguments)
            else:
                value = await running.run(arguments)
        except BaseException as error:
            if turn.is_taped and not again.raises(error):
                turn.stays_live()
            raise
        finally:
            _running.reset(token)
        if replayable and turn.is_taped and not again.returns(value):
            turn.stays_live()
        if running is None:
            return as_json(value)
        running.value, running.ran = value, True
        return running.show(value)

    tool = Tool.described(name, function, description=description, parameters=parameters, replayable=replayable)
    tool.on_replay = _replaying
    return tool


def _replaying() -> None:
    if (running := _running.get()) is not None:
        running.is_replayed = True


async def run_in_turn(
    turn: Turn,
    tool: Tool[..., Any],
    arguments: Mapping[str, Any],
    run: Run,
    show: Callable[[Any], Any] | None = None,
    again: Again = AS_IT_IS,
) -> Any:
    """Runs a call that the framework has begun, through the turn's toolbox. Returns what `run` returned, when it was recorded
    perhaps, or `Scripted`. Raises `ToolFailed`, from what the tool itself raised, if it ran, now or when it was recorded.
    `show` makes JSON of a result, for the evidence."""
    turn.stays_live()  # of the call that this one is made in, if it is: a cassette has no calls within a call
    running = _Running(run, show or as_json, again)
    token = _running.set(running)
    try:
        result = await turn.call(tool, **arguments)
    except ToolFailed as failed:
        if running.is_replayed:
            failure = again.failure(failed.type, failed.message)
            failed.__cause__ = failed.__cause__ if failure is None else await again.failed(failure)
        raise
    finally:
        _running.reset(token)
    if running.ran:
        return running.value
    return await again.given(result) if running.is_replayed else Scripted(result)


def as_json(value: Any) -> Any:
    """A framework's value as JSON: models and data classes as objects, what has no such form as its text."""
    return to_jsonable_python(value, **AS_JSON)
