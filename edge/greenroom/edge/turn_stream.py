"""The one long-lived stream of turns to the core (design/performance.md).

What is asked within one tick of the loop leaves as one list, answers are read as they come, in any order. When the stream
breaks, the turns without an answer are sent again on the next one with the same attempt id: the core finds the ones it
committed, so none runs twice. A reply that is being told is not asked for again: it might come out otherwise.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import grpc

from greenroom.edge.errors import OVERLOADED, TIMEOUT, EdgeError, Refused, from_status
from greenroom.edge.telling import Telling
from greenroom.v1.agent_pb2 import RunTurnRequest, RunTurnsRequest, RunTurnsResponse, TurnItem, TurnProgress
from greenroom.v1.turn_pb2 import Reply

MAX_LIST_BYTES = 256 * 1024
"""A list is sent at this size; a larger turn goes alone."""

_REFUSED = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}
)
MAX_LEAVERS = 4096
"""Clients remembered as gone; past this the oldest are forgotten."""

_TOLD_AGAIN = 1.0
"""Seconds for which what was written to a stream that breaks may not have been read."""
_BACK_OFF = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)
_PARTING = 1.0  # seconds for each of the two to say that it is done
_log = logging.getLogger("greenroom.edge")

TurnsCall = grpc.aio.StreamStreamCall[bytes, RunTurnsResponse]


class _Waiting:
    """A turn without an answer. `telling`: where the reply of a streamed one is told."""

    __slots__ = ("deadline", "future", "sequence", "telling", "turn", "written")

    def __init__(self, sequence: int, turn: RunTurnRequest, deadline: float, telling: "Telling | None") -> None:
        self.sequence = sequence
        self.turn = turn
        self.deadline = deadline
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.telling = telling
        self.written = False


class _Leaver:
    """A turn whose client has gone, as noticed or first sayable at `at` (loop time)."""

    __slots__ = ("at", "attempt_id", "written")

    def __init__(self, attempt_id: str, at: float) -> None:
        self.attempt_id = attempt_id
        self.at = at
        self.written = False


class TurnStream:
    """`connected` returns when the core is; `open_call` opens the stream to it; `reachable` says whether it still is.

    Nothing is written before there is a connection: what lingered in a call would still reach the core after its caller
    has been told that it did not.
    """

    def __init__(
        self,
        connected: Callable[[], Awaitable[None]],
        open_call: Callable[[], TurnsCall],
        reachable: Callable[[], bool],
        *,
        timeout: float,
        max_pending: int,
    ) -> None:
        self._connected = connected
        self._open_call = open_call
        self._reachable = reachable
        self._timeout = timeout
        self._max_pending = max_pending
        self._sequence = 0
        self._waiting: dict[int, _Waiting] = {}
        self._outbox: list[tuple[_Waiting | _Leaver | None, bytes]] = []
        self._leavers: deque[_Leaver] = deque(maxlen=MAX_LEAVERS)
        self._open = False
        """Whether there is a stream to write to; what is asked while there is none waits for the next one."""
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._call: TurnsCall | None = None
        self._closing = False

    @property
    def pending(self) -> int:
        """Turns without an answer."""
        return len(self._waiting)

    async def run(self, turn: RunTurnRequest) -> Reply:
        """The stored reply. Raises EdgeError: the core's own, 503 when it cannot be reached in time, 504 past the deadline."""
        waiting = self._ask(turn)
        try:
            return await waiting.future
        finally:
            self._waiting.pop(waiting.sequence, None)

    @contextmanager
    def stream(self, turn: RunTurnRequest) -> Iterator[Telling]:
        """The reply as it is made, for as long as the context lasts. Raises EdgeError when there is no room for it."""
        telling = Telling(lambda characters: self._read_on(waiting, characters))
        waiting = self._ask(turn, telling)
        waiting.future.add_done_callback(telling.settle)
        try:
            yield telling
        finally:
            self._waiting.pop(waiting.sequence, None)
            waiting.future.cancel()
            # It holds this one: in a circle, nothing of the turn would be freed before the garbage is next collected.
            waiting.telling = None

    def _ask(self, turn: RunTurnRequest, telling: Telling | None = None) -> _Waiting:
        if len(self._waiting) >= self._max_pending:
            raise Refused(OVERLOADED)
        self._sequence = sequence = self._sequence + 1
        loop = asyncio.get_running_loop()
        waiting = _Waiting(sequence, turn, loop.time() + self._timeout, telling)
        self._waiting[sequence] = waiting
        if self._open:
            self._outbox.append((waiting, _item(waiting)))
            self._wake.set()
        if self._timer is None:
            self._timer = loop.call_at(waiting.deadline, self._expire)
        return waiting

    def _read_on(self, waiting: _Waiting, characters: int) -> None:
        """So much more of its reply is out."""
        if self._open and waiting.sequence in self._waiting:
            progress = TurnProgress(sequence=waiting.sequence, characters=characters)
            self._outbox.append((None, RunTurnsRequest(read=[progress]).SerializeToString()))
            self._wake.set()

    def left(self, attempt_id: str) -> None:
        """That turn's client has gone without its reply, which the core is to keep (CHAT-15). The turn itself goes on."""
        leaver = _Leaver(attempt_id, asyncio.get_running_loop().time())
        self._leavers.append(leaver)
        if self._open:
            self._outbox.append((leaver, _left(attempt_id)))
            self._wake.set()

    def start(self) -> None:
        """Opens the stream and keeps it open until `close`."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep_open())

    async def close(self) -> None:
        """Ends the stream; what still waits gets 503."""
        if self._timer is not None:
            self._timer.cancel()
        if self._keeper is not None:
            if self._call is not None and not self._waiting:
                await self._part(self._call, self._keeper)
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self._fail_all()

    async def _part(self, call: TurnsCall, keeper: "asyncio.Task[None]") -> None:
        """In good order: the core takes the last replies on a stream that breaks for lost."""
        self._closing = True
        try:
            await asyncio.wait_for(call.done_writing(), _PARTING)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            return
        await asyncio.wait([keeper], timeout=_PARTING)

    async def _keep_open(self) -> None:
        failures = 0
        while not self._closing:
            await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
            await self._connected()
            self._fill_outbox()
            self._open = True
            answered = await self._serve_one_stream()
            self._open = False
            self._break_off()
            failures = 0 if answered else failures + 1

    async def _serve_one_stream(self) -> bool:
        """Until the stream breaks. Whether it answered anything."""
        call = self._call = self._open_call()
        writer = asyncio.get_running_loop().create_task(self._write(call))
        answered = False
        try:
            while isinstance(message := await call.read(), RunTurnsResponse):
                answered = True
                self._settle(message)
        except grpc.aio.AioRpcError as error:
            _log.warning("the stream to the core broke: %s", error.code().name)
            if error.code() in _REFUSED:
                self._fail_all()
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
        finally:
            self._call = None
            writer.cancel()
            call.cancel()
            await asyncio.wait([writer])
        return answered

    async def _write(self, call: TurnsCall) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(0)  # every request that this tick can read joins the list
                for message in self._lists():
                    await call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            call.cancel()  # the reader may not have seen the break

    def _lists(self) -> Iterator[bytes]:
        """What is pending, as messages. Concatenated messages are one message: their lists are joined (protobuf encoding)."""
        while self._outbox:
            outbox, self._outbox = self._outbox, []
            batch: list[bytes] = []
            size = 0
            for origin, message in outbox:
                if origin is not None:
                    origin.written = True
                if batch and size + len(message) > MAX_LIST_BYTES:
                    yield b"".join(batch)
                    batch, size = [], 0
                batch.append(message)
                size += len(message)
            yield b"".join(batch)

    def _settle(self, message: RunTurnsResponse) -> None:
        for told in message.told:
            waiting = self._waiting.get(told.sequence)
            if waiting is not None and waiting.telling is not None:
                waiting.telling.add(told.events)
        for outcome in message.outcomes:
            waiting = self._waiting.pop(outcome.sequence, None)
            if waiting is None or waiting.future.done():
                continue
            if outcome.WhichOneof("outcome") == "reply":
                waiting.future.set_result(outcome.reply)
            else:
                waiting.future.set_exception(from_status(outcome.error, resent=waiting.turn.resent))

    def _fill_outbox(self) -> None:
        """With the turns that still wait: those that were written before are sent again. And with whose clients have gone,
        where the core may not know."""
        now = asyncio.get_running_loop().time()
        self._outbox.clear()
        for waiting in self._waiting.values():
            waiting.turn.held_us = int((now - waiting.deadline + self._timeout) * 1_000_000)
            if waiting.written:
                waiting.turn.resent = True
                waiting.turn.timeout_ms = max(1, int((waiting.deadline - now) * 1000))
            self._outbox.append((waiting, _item(waiting)))
        if self._leavers:
            in_flight = {waiting.turn.attempt_id for waiting in self._waiting.values()}
            for leaver in self._leavers:
                if not leaver.written:
                    leaver.at = now
                if leaver.at > now - _TOLD_AGAIN or leaver.attempt_id in in_flight:
                    self._outbox.append((leaver, _left(leaver.attempt_id)))
        if self._outbox:
            self._wake.set()

    def _break_off(self) -> None:
        """The stream broke: replies of which something was told end here."""
        for waiting in list(self._waiting.values()):
            if waiting.telling is not None and waiting.telling.begun:
                del self._waiting[waiting.sequence]
                self.left(waiting.turn.attempt_id)  # if it was committed, its reply has not been told
                waiting.future.set_exception(_unavailable(waiting))

    def _expire(self) -> None:
        """All deadlines are equally far off, so the oldest turn is the first to expire: one timer serves all."""
        loop = asyncio.get_running_loop()
        self._timer = None
        reachable = self._reachable()
        for waiting in list(self._waiting.values()):
            if waiting.deadline > loop.time():
                self._timer = loop.call_at(waiting.deadline, self._expire)
                return
            del self._waiting[waiting.sequence]
            if waiting.written and reachable:
                self._outbox.append((None, RunTurnsRequest(cancel=[waiting.sequence]).SerializeToString()))
                self._wake.set()
            elif waiting.written:
                self.left(waiting.turn.attempt_id)  # if it was committed, its reply has reached nobody
            if not waiting.future.done():
                late = waiting.written and reachable
                waiting.future.set_exception(EdgeError(TIMEOUT) if late else _unavailable(waiting))

    def _fail_all(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(_unavailable(waiting))
        self._waiting.clear()
        self._outbox.clear()


def _left(attempt_id: str) -> bytes:
    return RunTurnsRequest(left=[attempt_id]).SerializeToString()


def _unavailable(waiting: _Waiting) -> EdgeError:
    """503. What was written may have been committed by a core that could not say so any more."""
    return (EdgeError if waiting.written else Refused)(OVERLOADED)


def _is_cancelled() -> bool:
    """Whether this task is asked to end; grpc.aio raises CancelledError for a call that was cancelled, too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _item(waiting: _Waiting) -> bytes:
    return one_turn(waiting.sequence, waiting.turn, stream=waiting.telling is not None)


def one_turn(sequence: int, turn: RunTurnRequest, *, stream: bool = False) -> bytes:
    """`RunTurnsRequest(turns=[TurnItem(sequence, turn, stream)])` as protobuf writes it, without copying the turn twice."""
    body = turn.SerializeToString()
    head = (_STREAMED if stream else b"") + _SEQUENCE + _varint(sequence) + _TURN + _varint(len(body))
    return b"".join((_TURNS, _varint(len(head) + len(body)), head, body))


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


# A field's number and kind: 0 is a varint, 2 has its length before it.
_TURNS = bytes((RunTurnsRequest.TURNS_FIELD_NUMBER << 3 | 2,))
_SEQUENCE = bytes((TurnItem.SEQUENCE_FIELD_NUMBER << 3,))
_STREAMED = bytes((TurnItem.STREAM_FIELD_NUMBER << 3, 1))
_TURN = bytes((TurnItem.TURN_FIELD_NUMBER << 3 | 2,))
