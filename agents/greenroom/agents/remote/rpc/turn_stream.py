"""One long-lived stream of turns to a remote agent that implements `RunTurns`: a turn on it costs a third of a call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator

import grpc
from google.rpc import status_pb2

from greenroom.agents.remote.failure import RemoteFailed
from greenroom.agents.remote.rpc.status import CallFailed, of_call
from greenroom.v1.agent_pb2 import RunTurnsRequest, RunTurnsResponse, StreamTurnResponse, TurnOutcome, TurnProgress

TurnsCall = grpc.aio.StreamStreamCall[bytes, RunTurnsResponse]
LARGEST = 1024 * 1024
"""Bytes of a turn that is asked over a stream. More than its agent takes would end the stream, and all turns with it."""

_LIST_BYTES = 256 * 1024
_STEP = 8 * 1024
"""Characters after which an agent hears that they were read; it is held back while 32 Ki are not."""
_MOST_UNREAD = 8 * 1024 * 1024
_PARTING = 0.5
"""Seconds that the agent may take to end a stream."""


class AskedTurn:
    """A turn on the stream, while it is answered."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.is_over = False
        """Whether nothing more will come of it."""
        self._came: deque[StreamTurnResponse | TurnOutcome | Exception] = deque()
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> StreamTurnResponse | TurnOutcome:
        """What comes next: events, then the outcome. Raises `CallFailed` or `RemoteFailed` where the stream ended before."""
        if not self._came:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        came = self._came.popleft()
        if isinstance(came, Exception):
            raise came
        if isinstance(came, StreamTurnResponse):
            self._unread -= size_of(came)
        return came

    def told(self, events: Iterable[StreamTurnResponse]) -> None:
        """Events have come, ahead of their reader by a bound."""
        if self.is_over:
            return
        for event in events:
            self._unread += size_of(event)
            self._came.append(event)
        if self._unread > _MOST_UNREAD:
            self._came.clear()
            self.end(RemoteFailed(f"it has told more than {_MOST_UNREAD} characters that were not read yet"))
        self._wake()

    def end(self, last: TurnOutcome | Exception) -> None:
        """Nothing comes after this."""
        if not self.is_over:
            self.is_over = True
            self._came.append(last)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class TurnStream:
    """One call of `RunTurns`. What is asked within one tick of the loop goes out as one list; answers come in any order.

    `is_broken` says whether the connection is gone. To be made inside a running loop.
    """

    def __init__(self, call: TurnsCall, is_broken: Callable[[], Awaitable[bool]]) -> None:
        self._call = call
        self._is_broken = is_broken
        self._sequence = 0
        self._open: dict[int, AskedTurn] = {}
        self._outbox: list[bytes] = []
        self._more = asyncio.Event()
        self.is_retired = False
        self._is_cut = False
        """Whether something could not be written, after which gRPC no longer says what it ended with."""
        self.has_answered = False
        self.is_over = False
        self.is_unimplemented = False
        self._writer = asyncio.create_task(self._write())
        self.reader = asyncio.create_task(self._read())

    def ask(self, request: RunTurnsRequest) -> AskedTurn:
        """Sends a list of one turn; who asks has to `leave` it."""
        self._sequence += 1
        request.turns[0].sequence = self._sequence
        asked = self._open[self._sequence] = AskedTurn(self._sequence)
        self._send(request)
        return asked

    def leave(self, asked: AskedTurn) -> None:
        """Its answer is not waited for any longer: the agent is told to stop if there is none yet."""
        if self._open.pop(asked.sequence, None) is not None:
            self._send(RunTurnsRequest(cancel=[asked.sequence]))
        self._more.set()

    def has_read(self, asked: AskedTurn, characters: int) -> None:
        """So much more of what the turn has told was passed on."""
        if asked.sequence in self._open:
            self._send(RunTurnsRequest(read=[TurnProgress(sequence=asked.sequence, characters=characters)]))

    def retire(self) -> None:
        """No more turns will be asked; the stream is closed when those are answered that were."""
        self.is_retired = True
        self._more.set()

    async def close(self) -> None:
        """In good order, if the agent plays along."""
        self.retire()
        await asyncio.wait([self.reader], timeout=_PARTING)
        self.reader.cancel()
        await asyncio.wait([self.reader])

    def _send(self, request: RunTurnsRequest) -> None:
        self._outbox.append(request.SerializeToString())
        self._more.set()

    async def _read(self) -> None:
        end: Exception = RemoteFailed("its stream of turns ended before they were answered")
        try:
            while isinstance(message := await self._call.read(), RunTurnsResponse):
                self.has_answered = True
                self._settle(message)
        except grpc.aio.AioRpcError as error:
            end = await self._end_of(error)
        finally:
            self.is_over = True
            self._writer.cancel()
            self._call.cancel()
            for asked in self._open.values():
                asked.end(end)
            self._open.clear()

    async def _end_of(self, error: grpc.aio.AioRpcError) -> CallFailed:
        if self._is_cut:
            said = "its stream of turns ended"
            lost = await self._is_broken()
            return CallFailed(grpc.StatusCode.UNAVAILABLE, said, status_pb2.Status(), lost, not self.has_answered)
        self.is_unimplemented = error.code() is grpc.StatusCode.UNIMPLEMENTED and not self.has_answered
        lost = error.code() is grpc.StatusCode.UNAVAILABLE and await self._is_broken()
        return of_call(error, lost=lost, of_no_stream=self.is_unimplemented)

    def _settle(self, message: RunTurnsResponse) -> None:
        for told in message.told:
            if (asked := self._open.get(told.sequence)) is not None:
                asked.told(told.events)
        for outcome in message.outcomes:
            if (asked := self._open.pop(outcome.sequence, None)) is not None:
                asked.end(outcome)

    async def _write(self) -> None:
        try:
            while not self.is_retired or self._open or self._outbox:
                await self._more.wait()
                self._more.clear()
                for messages in self._lists():
                    await self._call.write(messages)
            await self._call.done_writing()
        except grpc.aio.AioRpcError:
            self._is_cut = True
        except asyncio.InvalidStateError:
            pass  # it is over, and the reader is told why

    def _lists(self) -> Iterator[bytes]:
        """Messages one after the other are one message, whose lists are joined (protobuf encoding)."""
        outbox, self._outbox = self._outbox, []
        batch, size = bytearray(), 0
        for message in outbox:
            if size and size + len(message) > _LIST_BYTES:
                yield bytes(batch)
                batch, size = bytearray(), 0
            batch += message
            size += len(message)
        if size:
            yield bytes(batch)


class Progress:
    """What of a turn's events was read, told in steps."""

    def __init__(self, stream: TurnStream, asked: AskedTurn) -> None:
        self._stream = stream
        self._asked = asked
        self._read = 0

    def add(self, event: StreamTurnResponse) -> None:
        self._read += size_of(event)
        if self._read >= _STEP:
            self._stream.has_read(self._asked, self._read)
            self._read = 0


def size_of(event: StreamTurnResponse) -> int:
    """What an event takes of what may be unread, in characters (TurnProgress)."""
    call = event.tool_call
    return len(event.text_delta) + len(call.arguments_json) + len(call.result_json)
