"""A reply as server-sent events, told while the agent makes it (STREAM-01..06)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from greenroom.edge import codec
from greenroom.edge.chat_reply import Call, ReplyMetadata, ReplyUsage
from greenroom.edge.chat_request import ChatRequest
from greenroom.edge.errors import SERVER_ERROR, EdgeError
from greenroom.edge.exchange import Exchange
from greenroom.v1.agent_pb2 import StreamStarted, StreamTurnResponse
from greenroom.v1.turn_pb2 import Reply, ToolCall

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
    metadata: ReplyMetadata | None = None
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
        self._idle = True
        """Whether nothing was written since the last look."""
        self._calls = 0
        self._leaving: asyncio.Future[None] | None = None
        """Done when the reader has left."""

    async def run(self, events: AsyncGenerator[StreamTurnResponse], receive: Receive, *, ping: float) -> None:
        """Until the reply is out or its reader has left, which the core is told by the end of the call (STREAM-06). `ping`:
        seconds without an event after which a comment keeps the connection open."""
        telling = asyncio.ensure_future(self._tell(events))
        leaving = self._leaving = asyncio.ensure_future(_left(receive))
        try:
            while True:
                self._idle = True
                await asyncio.wait({telling, leaving}, timeout=ping, return_when=asyncio.FIRST_COMPLETED)
                if telling.done():
                    break
                if leaving.done():
                    raise ClientDisconnect
                if self._idle:
                    await self._write(b": ping\n\n")
        finally:
            leaving.cancel()
            telling.cancel()
            await asyncio.wait({telling, leaving})
        telling.result()

    async def send_stored(self, reply: Reply) -> None:
        """A reply that is there already, without its calls (CHAT-19)."""
        self._started = StreamStarted(
            session_id=reply.session_id,
            chat_id=reply.chat_id,
            completion_id=reply.completion_id,
            started_at=reply.created_at,
            agent=reply.agent,
        )
        await self._add(Delta(role="assistant", content=""))
        if reply.text:
            await self._add(Delta(content=reply.text))
        await self._close(reply)

    async def _tell(self, events: AsyncGenerator[StreamTurnResponse]) -> None:
        """Before anything is written a failure is a real HTTP error, after it an event (STREAM-06). The call to the core is
        read to its end: one that is broken off says that the reader has left."""
        reply: Reply | None = None
        try:
            async with aclosing(events):
                async for event in events:
                    kind = event.WhichOneof("event")
                    if kind == "started":
                        self._started = event.started
                        await self._add(Delta(role="assistant", content=""))
                    elif kind == "text_delta":
                        await self._add(Delta(content=event.text_delta))
                    elif kind == "tool_call":
                        await self._add_call(event.tool_call)
                    elif kind == "completed":
                        reply = event.completed
            if reply is None:
                raise EdgeError(SERVER_ERROR)
            self._exchange.answered_by(reply)
            if self._leaving is not None and self._leaving.done():
                raise ClientDisconnect
            await self._close(reply)
        except EdgeError as error:
            if not self._opened:
                raise
            await self._write(b"data: " + error.body(self._exchange.request_id) + b"\n\n", more=False)

    async def _add_call(self, call: ToolCall) -> None:
        if not self._trace_in_metadata:
            [shown] = codec.calls_of([call], first_index=self._calls)
            self._calls += 1
            await self._add(Delta(tool_calls=[shown]))

    async def _add(self, delta: Delta) -> None:
        await self._event(self._chunk(ChunkChoice(0, delta, None)))

    async def _close(self, reply: Reply) -> None:
        last = self._chunk(ChunkChoice(0, Delta(), "stop"))
        trace = codec.calls_of(reply.tool_calls) if self._trace_in_metadata and reply.tool_calls else None
        last.metadata = codec.metadata_of(reply, trace)
        last.evaluation_metadata = msgspec.Raw(reply.evaluation_json or "{}")
        await self._event(last)
        if self._include_usage:
            usage = self._chunk()
            usage.usage = codec.usage_of(reply)
            await self._event(usage)
        await self._write(DONE, more=False)

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

    async def _event(self, chunk: Chunk) -> None:
        await self._write(b"data: " + _encoder.encode(chunk) + b"\n\n")

    async def _write(self, event: bytes, *, more: bool = True) -> None:
        self._idle = False
        if not self._opened:
            self._opened = True
            replayed = self._started is not None and self._started.replayed
            headers = [*STREAM_HEADERS, REPLAYED] if replayed else list(STREAM_HEADERS)
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": event, "more_body": more})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_encoder = msgspec.json.Encoder()
