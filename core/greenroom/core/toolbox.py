"""The toolbox through which a turn calls its tools: every call is recorded, whatever happens in it."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from greenroom.core.cassettes.tape import TAPED_CALL, Asked
from greenroom.core.errors import LimitExceeded, NotRecorded
from greenroom.core.ledger import WRITER, Writer, leave
from greenroom.core.plain import any_json, to_json, well_formed
from greenroom.core.records import Change, ToolCallRecord
from greenroom.core.schema import InvalidArguments
from greenroom.core.tool_rack import ToolRack
from greenroom.core.tools import Call, Tool, ToolError, ToolFailed

if TYPE_CHECKING:
    from greenroom.core.turn import Turn
    from greenroom.core.world import WorldTurn

_log = logging.getLogger(__name__)


def failure_of(error: BaseException, tool: Tool[..., Any] | None) -> tuple[str, str]:
    """A failed call's `type` and `message` (CHAT-10)."""
    message = well_formed(str(error))
    match error:
        case InvalidArguments():
            return "invalid_arguments", message
        case ToolError():
            return well_formed(str(error.code)), message
        case ToolFailed():  # a tool that called another one and passes its failure on
            return error.type, well_formed(error.message)
        case TimeoutError():
            limit = f" within {tool.timeout:g} s" if tool and tool.timeout is not None else ""
            return "timeout", message or f"{tool.name if tool else 'the tool'} did not answer{limit}"
        case asyncio.CancelledError():
            return "cancelled", "it was cancelled before it had an answer"
        case _:
            return type(error).__name__, message


class Execution:
    """One call while it runs."""

    __slots__ = ("_name", "_number", "_started", "arguments", "asked", "id", "scripted_by", "span", "turn", "writer")

    def __init__(
        self, turn: "Turn", number: int, name: str, arguments: Mapping[str, Any], call_id: str, writer: Writer | None
    ) -> None:
        self.turn = turn
        self.arguments = arguments
        self.writer = writer
        """What it writes to the world as; None for a call that runs elsewhere."""
        self._number = number
        self._name = name
        self.id = call_id
        self.scripted_by = ""
        self.asked: Asked | None = None
        """The call as a cassette knows it, where one records or replays it."""
        self.span = None if turn.span is None else turn.span.tool(name, call_id)
        self._started = perf_counter_ns()

    @property
    def call(self) -> Call:
        """What the tool may know of its call."""
        turn = self.turn
        traceparent = turn.traceparent if self.span is None else self.span.traceparent
        return Call(self.id, turn.call_key(self._number), self._name, turn.number, turn.time_left, traceparent)

    @property
    def ids(self) -> Mapping[str, str]:
        """What it gives to the tool that another run of the same call would not, by what stands for it in a cassette."""
        return {"${call_id}": self.id, "${call_key}": self.turn.call_key(self._number)}

    def record(self, result: str, ok: bool, changes: tuple[Change, ...] = ()) -> ToolCallRecord:
        """The call as it is stored; it is over now."""
        started = self._started
        return ToolCallRecord(
            self.id,
            self._name,
            well_formed(any_json(self.arguments)),
            result,
            ok,
            (started - self.turn.started_ns) // 1000,
            (perf_counter_ns() - started) // 1000,
            changes,
            self.scripted_by,
        )


class OutsideCall:
    """A tool call that runs elsewhere (in a framework, in a service) while it is recorded here. Say how it ended: one that
    has not when the turn is over was cancelled."""

    __slots__ = ("_box", "_number", "_running")

    def __init__(self, box: "Toolbox", number: int, running: Execution) -> None:
        self._box = box
        self._number = number
        self._running = running

    def returned(self, result: Any) -> None:
        """It succeeded. Raises `LimitExceeded` for a result past its bound, `WorldError` for one that is no JSON."""
        self._box.close_outside(self._number, self._running, result, None)

    def failed(self, type: str, message: str) -> None:
        """It failed: `type` is stable, `message` is for people (CHAT-10)."""
        self._box.close_outside(self._number, self._running, None, (well_formed(type), well_formed(message)))


class Toolbox:
    """The tools of one turn. Calls are numbered and kept in order of start."""

    __slots__ = ("_over", "_rack", "_records", "_running", "_told", "_turn", "executor", "refused", "tools")

    def __init__(self, rack: ToolRack, turn: "Turn", executor: ThreadPoolExecutor) -> None:
        self.tools: Sequence[Tool[..., Any]] = rack.now
        self._rack = rack
        self._turn = turn
        self.executor = executor
        self._records: list[ToolCallRecord | None] = []
        self._running: dict[int, Execution] = {}
        self._over = False
        self._told = 0
        """How many records whoever reads along has been told."""
        self.refused: LimitExceeded | NotRecorded | None = None
        """Set when a bound was passed, or a cassette has no answer: the turn fails whatever the agent makes of it."""

    def find(self, name: str) -> Tool[..., Any] | None:
        return next((tool for tool in self.tools if tool.name == name), None)

    @property
    def records(self) -> tuple[ToolCallRecord, ...]:
        """What has been recorded, in order of start."""
        return tuple([record for record in self._records if record is not None])

    def record_of(self, call_id: str) -> ToolCallRecord:
        """The record of a call that is over."""
        return next(record for record in self.records if record.id == call_id)

    async def call(self, tool: Tool[..., Any] | str, arguments: Mapping[str, Any], call_id: str = "") -> Any:
        """Runs one call and records it. Raises `ToolFailed` when it failed, `LimitExceeded` past the turn's bounds."""
        name = well_formed(tool) if isinstance(tool, str) else tool.name  # a model may call it anything
        found = self.find(tool) if isinstance(tool, str) else tool
        number = self._open(name)
        turn = self._turn
        turn.clock.tick()
        writer = turn.world_turn.begin()
        running = Execution(turn, number, name, arguments, call_id or turn.ids.new("call"), writer)
        self._running[number] = running
        before = WRITER.set(writer)
        try:
            if found is None:
                raise InvalidArguments(
                    "; ".join(filter(None, (f"there is no tool named {name!r}", self._rack.why_absent())))
                )
            result = await self._run(found, arguments, running)
            if self._over:
                raise asyncio.CancelledError
            text = self._text(result)
            changes = turn.world_turn.commit(writer)
        except BaseException as error:
            kind, message = failure_of(error, found)
            _log.debug("tool %s failed, call %s", name, running.id, exc_info=error)
            del self._running[number]
            if not self._over:
                self._fail(number, running, kind, message, cut_off=_outlives(error))
            if isinstance(error, LimitExceeded | NotRecorded) or _is_stopping(error):
                raise
            raise ToolFailed(name, kind, message) from error
        finally:
            leave(before)
            if running.span is not None:
                running.span.leave()
        del self._running[number]
        if running.span is not None:
            running.span.end()
        if running.asked is not None:
            running.asked.returned(text, changes)
        self._keep(number, running.record(text, ok=True, changes=changes))
        if turn.feed is not None:
            await turn.feed.room()
        return result

    def outside(self, name: str, arguments: Mapping[str, Any], call_id: str = "") -> "OutsideCall":
        """Opens the record of a call that runs elsewhere."""
        name = well_formed(name)
        number = self._open(name)
        self._turn.clock.tick()
        call_id = well_formed(call_id)
        if not call_id or call_id in self._ids():  # whoever reads the turn tells its calls apart by their ids
            call_id = self._turn.ids.new("call")
        running = Execution(self._turn, number, name, arguments, call_id, None)
        self._running[number] = running
        if running.span is not None:
            running.span.leave()  # what runs here meanwhile is not its code
        return OutsideCall(self, number, running)

    def _ids(self) -> set[str]:
        return {record.id for record in self.records} | {running.id for running in [*self._running.values()]}

    def end(self) -> None:
        """The turn is over: no call begins any more, and what still runs has failed and is cut off from its world."""
        if not self._over:
            self._over = True
            for number, running in self._running.items():
                self._fail(number, running, *failure_of(asyncio.CancelledError(), None), cut_off=True)
            # The turn holds this: in a circle, nothing of it would be freed before the garbage is next collected.
            del self._turn

    def close_outside(self, number: int, running: Execution, result: Any, failure: tuple[str, str] | None) -> None:
        """The end of a call that `outside` opened; the first one counts."""
        if self._over or self._running.get(number) is not running:
            return
        text = self._text(result) if failure is None else ""
        del self._running[number]
        if failure is not None:
            self._fail(number, running, *failure, cut_off=False)
            return
        if running.span is not None:
            running.span.end()
        self._keep(number, running.record(text, ok=True))

    def _fail(self, number: int, running: Execution, kind: str, message: str, *, cut_off: bool) -> None:
        if running.writer is not None:
            self._turn.world_turn.undo(running.writer, cut_off=cut_off)
        if running.span is not None:
            running.span.end(kind)
        if running.asked is not None:
            running.asked.failed(kind, message)
        self._keep(number, running.record(to_json({"error": {"type": kind, "message": message}}), ok=False))

    def _keep(self, number: int, record: ToolCallRecord) -> None:
        """The record of a call that is over; told as soon as all before it are."""
        self._records[number] = record
        feed = self._turn.feed
        if feed is not None:
            while self._told < len(self._records) and (next_one := self._records[self._told]) is not None:
                self._told += 1
                feed.call(next_one)

    def _open(self, name: str) -> int:
        if self._over:
            raise ToolFailed(name, "cancelled", "the turn is over")
        limit = self._turn.limits.turn_tool_calls
        if len(self._records) >= limit:
            self.refused = LimitExceeded(f"a turn may call {limit} tools at most ({name})")
            raise self.refused
        self._records.append(None)
        return len(self._records) - 1

    def _text(self, result: Any) -> str:
        text = to_json(result, "the tool's result")
        limit = self._turn.limits.tool_result_bytes
        if len(text) > limit or (not text.isascii() and len(text.encode()) > limit):
            self.refused = LimitExceeded(f"a tool's result may be {limit} bytes of JSON at most")
            raise self.refused
        return text

    async def _run(self, tool: Tool[..., Any], arguments: Mapping[str, Any], running: Execution) -> Any:
        script = self._turn.scene.script
        number = script.count(tool.name) if script else 0
        given = tool.signature.validated(arguments)
        rule = script.decide(tool.name, number, given) if script else None
        if rule is None:
            work = self._real(tool, given, running)
        else:
            running.scripted_by = rule.by
            work = rule.play(partial(self._real, tool, given, running))
        try:
            async with asyncio.timeout(tool.timeout):  # in this task: one of its own that exits would end the process
                return await work
        finally:
            del work  # a future holds what it failed with, and that holds this frame

    def _real(self, tool: Tool[..., Any], given: dict[str, Any], running: Execution) -> Awaitable[Any]:
        """What no scenario scripts: the tool itself, or what a cassette has of this call. A tool that takes the turn may do
        more with it than return something, so it is always called."""
        tape = self._turn.scene.tape
        if tape is None or not tool.is_replayable:
            return self._work(tool, given, running)
        try:
            asked = tape.begin("tool", tool.name, running.arguments, running.ids)
        except NotRecorded as missing:
            self.refused = missing
            raise
        if asked.recording is None or asked.is_live:
            running.asked = asked
            return self._recorded(tool, given, asked, running)
        running.scripted_by = asked.by
        if tool.on_replay is not None:
            tool.on_replay()
        return _replayed(asked, self._turn.world_turn)

    async def _recorded(self, tool: Tool[..., Any], given: dict[str, Any], asked: Asked, running: Execution) -> Any:
        token = TAPED_CALL.set(asked)
        try:
            return await self._work(tool, given, running)
        finally:
            TAPED_CALL.reset(token)

    def _work(self, tool: Tool[..., Any], given: dict[str, Any], running: Execution) -> Awaitable[Any]:
        keywords = tool.signature.keywords(given)
        for name, kind in tool.signature.injected.items():
            keywords[name] = kind.for_call(running)
        if tool.is_async:
            work: Awaitable[Any] = tool.function(**keywords)
            return work
        runner = partial(copy_context().run, partial(tool.function, **keywords))
        return asyncio.get_running_loop().run_in_executor(self.executor, runner)


async def _replayed(asked: Asked, world_turn: "WorldTurn") -> Any:
    """Does what the recorded call did."""
    failure = asked.failure
    if failure is not None:
        raise ToolError(failure.message, code=failure.type)
    for collection, key, value in asked.written():
        world_turn.world.write(collection, key, value)
    return asked.answer()


def _is_stopping(error: BaseException) -> bool:
    """Whether the caller is being stopped. A tool may also end as cancelled because something it waited for was: it failed."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return not isinstance(error, Exception | SystemExit)


def _outlives(error: BaseException) -> bool:
    """Whether the tool's own code may still run."""
    return isinstance(error, TimeoutError) or not isinstance(error, Exception | SystemExit)
