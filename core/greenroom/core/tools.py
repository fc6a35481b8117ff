"""Tools, and the toolbox through which a turn calls them: every call is recorded, whatever happens in it."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial, update_wrapper
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from greenroom.core.errors import LimitExceeded
from greenroom.core.records import Change, ToolCallRecord
from greenroom.core.schema import InvalidArguments, Signature, read_signature
from greenroom.core.world import Touches, World, to_json, well_formed

if TYPE_CHECKING:
    from greenroom.core.turn import Turn

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class User:
    """Whom the agent talks to. `id` is "" for nobody; `profile` and `metadata` are what `POST /users` gave."""

    id: str
    profile: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """The tool call a tool is running for.

    `key` is the same on every attempt of the same call: pass it on as the idempotency key of whatever acts outside.
    `time_left` is how many seconds the turn has from the call's start.
    """

    id: str
    key: str
    name: str
    turn: int
    time_left: float


class ToolFailed(Exception):
    """A tool call failed: what an agent sees. `type` is stable ("timeout", "invalid_arguments", a `ToolError`'s code, or
    the exception's class), `message` is for people. The tool's own writes have been undone; the turn goes on."""

    def __init__(self, name: str, type: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.type = type
        self.message = message


class ToolError(Exception):
    """What a tool raises to say that it cannot do what was asked: `raise ToolError("No such order.", code="not_found")`."""

    def __init__(self, message: str, *, code: str = "failed") -> None:
        super().__init__(message)
        self.code = code


class Tool(Generic[P, R]):
    """A function an agent may call. Made by `@tool`; calling it directly is calling the function."""

    def __init__(self, function: Callable[P, R], name: str, timeout: float | None) -> None:
        self.function = function
        self.name = name
        self.timeout = timeout
        self.is_async = inspect.iscoroutinefunction(function)
        self._signature: Signature | None = None
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def signature(self) -> Signature:
        """Read on first use: annotations may name what is defined further down in the author's module."""
        if self._signature is None:
            self._signature = read_signature(self.function, INJECTED)
        return self._signature

    @property
    def description(self) -> str:
        return self.signature.description

    def openai(self) -> dict[str, Any]:
        """The tool as an entry of OpenAI's `tools`."""
        function = {"name": self.name, "description": self.description, "parameters": self.signature.schema()}
        return {"type": "function", "function": function}


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(*, name: str | None = None, timeout: float | None = None) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, timeout: float | None = None
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Makes a function a tool: its schema comes from signature and docstring.

    Parameters typed `World`, `Turn`, `User` or `Call` are injected and never shown to a model. Plain functions run in a
    thread, `async def` ones on the loop. `timeout` is in seconds: past it the call fails and its writes are undone.
    Return JSON-like data; raise `ToolError` (or anything) to fail.
    """

    def wrap(target: Callable[P, R]) -> Tool[P, R]:
        return Tool(target, name or str(getattr(target, "__name__", "tool")), timeout)

    return wrap if function is None else wrap(function)


def failure_of(error: BaseException, tool: Tool[..., Any] | None) -> tuple[str, str]:
    """A failed call's `type` and `message` (CHAT-10)."""
    message = well_formed(str(error))
    match error:
        case InvalidArguments():
            return "invalid_arguments", message
        case ToolError():
            return error.code, message
        case ToolFailed():  # a tool that called another one and passes its failure on
            return error.type, well_formed(error.message)
        case TimeoutError():
            limit = f" within {tool.timeout:g} s" if tool and tool.timeout is not None else ""
            return "timeout", message or f"{tool.name if tool else 'the tool'} did not answer{limit}"
        case asyncio.CancelledError():
            return "cancelled", "the turn ended before the tool did"
        case _:
            return type(error).__name__, message


class Toolbox:
    """The tools of one turn. Calls are numbered and kept in order of start."""

    __slots__ = ("_by_name", "_executor", "_records", "_running", "_turn", "refused", "tools")

    def __init__(self, tools: Sequence[Tool[..., Any]], turn: "Turn", executor: ThreadPoolExecutor) -> None:
        self.tools = tools
        self._turn = turn
        self._executor = executor
        self._records: list[ToolCallRecord | None] = []
        self._running: dict[int, Touches] = {}
        self.refused: LimitExceeded | None = None
        """Set when a bound was passed: the turn fails whatever the agent makes of it."""

    def find(self, name: str) -> Tool[..., Any] | None:
        return next((tool for tool in self.tools if tool.name == name), None)

    @property
    def records(self) -> tuple[ToolCallRecord, ...]:
        """What has been recorded, in order of start."""
        return tuple(record for record in self._records if record is not None)

    def record_of(self, call_id: str) -> ToolCallRecord:
        """The record of a call that is over."""
        return next(record for record in self.records if record.id == call_id)

    async def call(self, tool: "Tool[..., Any] | str", arguments: Mapping[str, Any], call_id: str = "") -> Any:
        """Runs one call and records it. Raises `ToolFailed` when it failed, `LimitExceeded` past the turn's bounds."""
        name = tool if isinstance(tool, str) else tool.name
        found = self.find(tool) if isinstance(tool, str) else tool
        number = self._open(name)
        turn = self._turn
        turn.clock.tick()
        call = Call(call_id or turn.ids.new("call"), turn.call_key(number), name, turn.number, turn.time_left)
        touches = self._running[number] = Touches(turn.world_turn)
        started = perf_counter_ns()
        try:
            if found is None:
                raise InvalidArguments(f"there is no tool named {name!r}")
            result = await self._run(found, arguments, call, touches)
            outcome, changes = self._outcome(result), touches.changes()
        except BaseException as error:
            kind, message = failure_of(error, found)
            self._close(number, touches)
            touches.undo(detach=not isinstance(error, Exception) or isinstance(error, TimeoutError))
            outcome = to_json({"error": {"type": kind, "message": message}})
            self._record(number, call, arguments, outcome, False, (), started)
            if isinstance(error, LimitExceeded) or not isinstance(error, Exception):
                raise
            raise ToolFailed(name, kind, message) from error
        self._close(number, touches)
        self._record(number, call, arguments, outcome, True, changes, started)
        return result

    def abandon(self) -> None:
        """The turn is over: whatever still runs is cut off from its world."""
        for touches in self._running.values():
            touches.closed = True

    def _open(self, name: str) -> int:
        if len(self._records) >= self._turn.limits.turn_tool_calls:
            self.refused = LimitExceeded(f"a turn may call {self._turn.limits.turn_tool_calls} tools at most ({name})")
            raise self.refused
        self._records.append(None)
        return len(self._records) - 1

    def _outcome(self, result: Any) -> str:
        text = to_json(result, "the tool's result")
        limit = self._turn.limits.tool_result_bytes
        if len(text) > limit or (not text.isascii() and len(text.encode()) > limit):
            self.refused = LimitExceeded(f"a tool's result may be {limit} bytes of JSON at most")
            raise self.refused
        return text

    def _close(self, number: int, touches: Touches) -> None:
        touches.closed = True
        self._running.pop(number, None)

    def _record(
        self,
        number: int,
        call: Call,
        arguments: Mapping[str, Any],
        outcome: str,
        ok: bool,
        changes: tuple[Change, ...],
        started: int,
    ) -> None:
        given = well_formed(json.dumps(arguments, ensure_ascii=False, default=str))
        offset, length = (started - self._turn.started_ns) // 1000, (perf_counter_ns() - started) // 1000
        self._records[number] = ToolCallRecord(call.id, call.name, given, outcome, ok, offset, length, changes)

    async def _run(self, tool: Tool[..., Any], arguments: Mapping[str, Any], call: Call, touches: Touches) -> Any:
        signature = tool.signature
        given = signature.validated(arguments)
        for name, kind in signature.injected.items():
            given[name] = INJECTED[kind](self._turn, call, touches)
        if tool.is_async:
            work = tool.function(**given)
        else:
            context = copy_context()
            runner = partial(context.run, partial(tool.function, **given))
            work = asyncio.get_running_loop().run_in_executor(self._executor, runner)
        return await (work if tool.timeout is None else asyncio.wait_for(work, tool.timeout))


INJECTED: dict[type, Callable[["Turn", Call, Touches], Any]] = {
    World: lambda turn, call, touches: World(turn.world_turn, touches),
    User: lambda turn, call, touches: turn.user,
    Call: lambda turn, call, touches: call,
}
"""How each injected type is made for a call. `turn.py` adds `Turn`."""


def tools_in(namespace: Iterable[object]) -> list[Tool[..., Any]]:
    """The tools among some objects, each once, in order."""
    found: list[Tool[..., Any]] = []
    for value in namespace:
        if isinstance(value, Tool) and value not in found:
            found.append(value)
    return found
