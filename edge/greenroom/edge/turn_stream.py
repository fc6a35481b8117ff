"""The one long-lived stream of turns to the core (design/performance.md).

What is asked within one tick of the loop leaves as one list, answers are read as they come, in any order. When the stream
breaks, the turns without an answer are sent again on the next one with the same attempt id: the core finds the ones it
committed, so none runs twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import grpc

from greenroom.edge.errors import OVERLOADED, TIMEOUT, EdgeError, from_status
from greenroom.v1.agent_pb2 import RunTurnRequest, RunTurnsRequest, RunTurnsResponse, TurnItem
from greenroom.v1.turn_pb2 import Reply

MAX_LIST_BYTES = 256 * 1024
"""A list is sent at this size; a larger turn goes alone."""

_REFUSED = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}
)
_BACK_OFF = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)
_log = logging.getLogger("greenroom.edge")

TurnsCall = grpc.aio.StreamStreamCall[bytes, RunTurnsResponse]


class _Waiting:
    """A turn without an answer."""

    __slots__ = ("deadline", "future", "sequence", "turn", "written")

    def __init__(self, sequence: int, turn: RunTurnRequest, deadline: float, future: "asyncio.Future[Reply]") -> None:
        self.sequence = sequence
        self.turn = turn
        self.deadline = deadline
        self.future = future
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
        self._outbox: list[tuple[_Waiting | None, bytes]] = []
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Turns without an answer."""
        return len(self._waiting)

    async def run(self, turn: RunTurnRequest) -> Reply:
        """The stored reply. Raises EdgeError: the core's own, 503 when it cannot be reached in time, 504 past the deadline."""
        if len(self._waiting) >= self._max_pending:
            raise EdgeError(OVERLOADED)
        self._sequence = sequence = self._sequence + 1
        loop = asyncio.get_running_loop()
        message = one_turn(sequence, turn)
        waiting = _Waiting(sequence, turn, loop.time() + self._timeout, loop.create_future())
        self._waiting[sequence] = waiting
        self._outbox.append((waiting, message))
        self._wake.set()
        if self._timer is None:
            self._timer = loop.call_at(waiting.deadline, self._expire)
        try:
            return await waiting.future
        finally:
            self._waiting.pop(sequence, None)

    def start(self) -> None:
        """Opens the stream and keeps it open until `close`."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep_open())

    async def close(self) -> None:
        """Ends the stream; what still waits gets 503."""
        if self._timer is not None:
            self._timer.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self._fail_all()

    async def _keep_open(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
            await self._connected()
            self._fill_outbox()
            answered = await self._serve_one_stream()
            failures = 0 if answered else failures + 1

    async def _serve_one_stream(self) -> bool:
        """Until the stream breaks. Whether it answered anything."""
        call = self._open_call()
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
            for waiting, message in outbox:
                if waiting is not None:
                    waiting.written = True
                if batch and size + len(message) > MAX_LIST_BYTES:
                    yield b"".join(batch)
                    batch, size = [], 0
                batch.append(message)
                size += len(message)
            yield b"".join(batch)

    def _settle(self, message: RunTurnsResponse) -> None:
        for outcome in message.outcomes:
            waiting = self._waiting.pop(outcome.sequence, None)
            if waiting is None or waiting.future.done():
                continue
            if outcome.WhichOneof("outcome") == "reply":
                waiting.future.set_result(outcome.reply)
            else:
                waiting.future.set_exception(from_status(outcome.error))

    def _fill_outbox(self) -> None:
        """With the turns that still wait, and nothing else: those that were written before are sent again."""
        now = asyncio.get_running_loop().time()
        self._outbox.clear()
        for waiting in self._waiting.values():
            if waiting.written:
                waiting.turn.resent = True
                waiting.turn.timeout_ms = max(1, int((waiting.deadline - now) * 1000))
            self._outbox.append((waiting, one_turn(waiting.sequence, waiting.turn)))
        if self._outbox:
            self._wake.set()

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
            if not waiting.future.done():
                waiting.future.set_exception(EdgeError(TIMEOUT if waiting.written and reachable else OVERLOADED))

    def _fail_all(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(EdgeError(OVERLOADED))
        self._waiting.clear()
        self._outbox.clear()


def _is_cancelled() -> bool:
    """Whether this task is asked to end; grpc.aio raises CancelledError for a call that was cancelled, too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def one_turn(sequence: int, turn: RunTurnRequest) -> bytes:
    """`RunTurnsRequest(turns=[TurnItem(sequence, turn)])` as protobuf writes it, without copying the turn twice."""
    body = turn.SerializeToString()
    head = _SEQUENCE + _varint(sequence) + _TURN + _varint(len(body))
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
_TURN = bytes((TurnItem.TURN_FIELD_NUMBER << 3 | 2,))
