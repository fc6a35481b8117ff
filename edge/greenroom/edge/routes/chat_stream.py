"""A reply as server-sent events, told while the agent makes it (STREAM-01..06)."""

import asyncio
from collections.abc import Callable, Iterable

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from greenroom.edge import codec
from greenroom.edge.chat_reply import Call, ReplyMetadata, ReplyUsage
from greenroom.edge.chat_request import ChatRequest
from greenroom.edge.errors import SERVER_ERROR, EdgeError
from greenroom.edge.exchange import Exchange
from greenroom.edge.telling import Telling
from greenroom.v1.agent_pb2 import StreamStarted, StreamTurnResponse
from greenroom.v1.turn_pb2 import Reply

DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


REPLAYED = (b"idempotency-replayed", b"true")
"""On a reply that was stored before, however it was found (CHAT-15)."""


class Delta(msgspec.Struct, omit_defaults=True):
    """What a chunk adds."""

    role: str | None = None
    content: str | None = None
    tool_calls: list[Call] | None = None


class ChunkChoice(msgspec.Struct):
    """The one choice."""

    index: int
    delta: Delta
    finish_reason: str | None


class Chunk(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One event. `choices` is a tuple so that an empty one is written."""

    id: str
    object: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    session_id: str
    chat_id: str
    usage: ReplyUsage | None = None
    metadata: ReplyMetadata | msgspec.Raw | None = None
    evaluation_metadata: msgspec.Raw | None = None


class EventStream:
    """Writes one request's events. A slow reader holds them up, and through the core its own agent; nobody else."""

    def __init__(self, chat: ChatRequest, exchange: Exchange, send: Send, *, trace_in_metadata: bool) -> None:
        self._exchange = exchange
        self._send = send
        self._trace_in_metadata = trace_in_metadata
        options = chat.stream_options
        self._include_usage = options is not None and options.include_usage is True
        self._started: StreamStarted | None = None
        self._opened = False
        self._calls = 0

    async def run(self, telling: Telling, receive: Receive, *, ping: float) -> None:
        """Until the reply is out. Before anything is written a failure is a real HTTP error, after it an event (STREAM-06).
        `ping`: seconds without an event after which a comment keeps the connection open. Raises `ClientDisconnect` when the
        reader has left."""
        leaving = asyncio.ensure_future(_left(receive))
        leaving.add_done_callback(lambda _: telling.wake())
        pings = _Pings(ping, telling.wake)
        try:
            while (reply := telling.reply()) is None:
                if leaving.done():
                    raise ClientDisconnect
                if events := telling.take():
                    await self._tell(events)
                    telling.passed_on(events)
                elif pings.due():
                    await self._write(b": ping\n\n")
                else:
                    await telling.wait()
                    continue
                pings.put_off()
            self._exchange.answered_by(reply)
            if leaving.done():
                raise ClientDisconnect
            await self._close(reply)
        except EdgeError as error:
            if not self._opened:
                raise
            await self._write(b"data: " + error.body(self._exchange.request_id) + b"\n\n", more=False)
        finally:
            pings.stop()
            leaving.cancel()

    async def send_stored(self, reply: Reply) -> None:
        """A reply that is there already, without its calls (CHAT-19)."""
        self._started = StreamStarted(
            session_id=reply.session_id,
            chat_id=reply.chat_id,
            completion_id=reply.completion_id,
            started_at=reply.created_at,
            agent=reply.agent,
        )
        first = self._chunk_of(Delta(role="assistant", content=""))
        await self._write(first + self._chunk_of(Delta(content=reply.text)) if reply.text else first)
        await self._close(reply)

    async def _tell(self, events: Iterable[StreamTurnResponse]) -> None:
        """What has come together goes out together."""
        chunks = []
        for event in events:
            if event.HasField("text_delta"):
                chunks.append(self._chunk_of(Delta(content=event.text_delta)))
            elif event.HasField("started"):
                self._started = event.started
                chunks.append(self._chunk_of(Delta(role="assistant", content="")))
            elif event.HasField("tool_call") and not self._trace_in_metadata:
                [shown] = codec.calls_of([event.tool_call], first_index=self._calls)
                self._calls += 1
                chunks.append(self._chunk_of(Delta(tool_calls=[shown])))
        if chunks:
            await self._write(b"".join(chunks))

    async def _close(self, reply: Reply) -> None:
        last = self._chunk(ChunkChoice(0, Delta(), "stop"))
        trace = codec.calls_of(reply.tool_calls) if self._trace_in_metadata and reply.tool_calls else None
        last.metadata = codec.metadata_of(reply, trace)
        last.evaluation_metadata = msgspec.Raw(reply.evaluation_json or "{}")
        ending = _event(last)
        if self._include_usage:
            usage = self._chunk()
            usage.usage = codec.usage_of(reply)
            ending += _event(usage)
        await self._write(ending + DONE, more=False)

    def _chunk_of(self, delta: Delta) -> bytes:
        return _event(self._chunk(ChunkChoice(0, delta, None)))

    def _chunk(self, *choices: ChunkChoice) -> Chunk:
        started = self._started
        if started is None:  # text before the core has said whose it is
            raise EdgeError(SERVER_ERROR)
        return Chunk(
            id=started.completion_id,
            object="chat.completion.chunk",
            created=started.started_at.seconds,
            model=started.agent,
            choices=choices,
            session_id=started.session_id,
            chat_id=started.chat_id,
        )

    async def _write(self, event: bytes, *, more: bool = True) -> None:
        if not self._opened:
            self._opened = True
            replayed = self._started is not None and self._started.replayed
            headers = [*STREAM_HEADERS, REPLAYED] if replayed else list(STREAM_HEADERS)
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": event, "more_body": more})


class _Pings:
    """Says when a stream has been idle for so many seconds; `wake` is called then. One timer, set anew when it fires."""

    def __init__(self, seconds: float, wake: Callable[[], None]) -> None:
        self._seconds = seconds
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._due_at = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due_at, self._look)

    def due(self) -> bool:
        """Whether it is time for one."""
        return self._loop.time() >= self._due_at

    def put_off(self) -> None:
        """Something was written."""
        self._due_at = self._loop.time() + self._seconds

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        next_at = self._due_at
        if self.due():
            self._wake()
            next_at = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(next_at, self._look)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(chunk: Chunk) -> bytes:
    return b"data: " + _encoder.encode(chunk) + b"\n\n"


_encoder = msgspec.json.Encoder()
