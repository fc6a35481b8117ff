"""A reply as server-sent events (STREAM-01, 04, 05). Text comes in one piece: every chunk names ids known at the commit."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from greenroom.edge import codec
from greenroom.edge.chat_reply import Call, ReplyMetadata, ReplyUsage
from greenroom.edge.chat_request import ChatRequest
from greenroom.edge.errors import SERVER_ERROR, EdgeError
from greenroom.edge.exchange import Exchange
from greenroom.v1.agent_pb2 import StreamTurnResponse
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
    metadata: ReplyMetadata | None = None
    evaluation_metadata: msgspec.Raw | None = None


class EventStream:
    """Writes one request's events."""

    def __init__(self, chat: ChatRequest, exchange: Exchange, send: Send, *, trace_in_metadata: bool) -> None:
        self._exchange = exchange
        self._send = send
        self._trace_in_metadata = trace_in_metadata
        options = chat.stream_options
        self._include_usage = options is not None and options.include_usage is True

    async def run(self, events: AsyncGenerator[StreamTurnResponse], receive: Receive) -> None:
        """Until the reply is out, or its reader has left: then the turn is cancelled."""
        telling = asyncio.ensure_future(self._tell(events))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                raise ClientDisconnect
        finally:
            leaving.cancel()
            telling.cancel()
            await asyncio.wait({telling, leaving})
        telling.result()

    async def send_stored(self, reply: Reply) -> None:
        """A reply that is there already, without its calls (CHAT-19)."""
        await self._open()
        await self._close(reply, None)

    async def _tell(self, events: AsyncGenerator[StreamTurnResponse]) -> None:
        """Before the core's first event a failure is a real HTTP error, after it an event (STREAM-06)."""
        async with aclosing(events):
            event = await anext(events, None)
            if event is None:
                raise EdgeError(SERVER_ERROR)
            await self._open(replayed=event.completed.replayed)
            try:
                while event is not None and event.WhichOneof("event") != "completed":
                    event = await anext(events, None)
                if event is None:
                    raise EdgeError(SERVER_ERROR)
            except EdgeError as error:
                await self._write(b"data: " + error.body(self._exchange.request_id) + b"\n\n", more=False)
                return
        reply = event.completed
        self._exchange.answered_by(reply)
        await self._close(reply, codec.calls_of(reply.tool_calls, indexed=True))

    async def _open(self, *, replayed: bool = False) -> None:
        """A replay has no text before its completed reply, so that its first event says what it is."""
        headers = [*STREAM_HEADERS, REPLAYED] if replayed else list(STREAM_HEADERS)
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _close(self, reply: Reply, calls: list[Call] | None) -> None:
        chunks = chunks_of(reply, calls, trace_in_metadata=self._trace_in_metadata, include_usage=self._include_usage)
        for chunk in chunks:
            await self._write(b"data: " + _encoder.encode(chunk) + b"\n\n", more=True)
        await self._write(DONE, more=False)

    async def _write(self, event: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": event, "more_body": more})


def chunks_of(
    reply: Reply, calls: list[Call] | None, *, trace_in_metadata: bool, include_usage: bool
) -> Iterator[Chunk]:
    """The reply in chunks. Joined they say what the same request says without streaming."""

    def chunk(*choices: ChunkChoice) -> Chunk:
        return Chunk(
            id=reply.completion_id,
            object="chat.completion.chunk",
            created=reply.created_at.seconds,
            model=reply.agent,
            choices=choices,
            session_id=reply.session_id,
            chat_id=reply.chat_id,
        )

    yield chunk(ChunkChoice(0, Delta(role="assistant", content=""), None))
    for call in () if trace_in_metadata else calls or ():
        yield chunk(ChunkChoice(0, Delta(tool_calls=[call]), None))
    if reply.text:
        yield chunk(ChunkChoice(0, Delta(content=reply.text), None))
    last = chunk(ChunkChoice(0, Delta(), "stop"))
    trace = codec.calls_of(reply.tool_calls) if trace_in_metadata and calls else None
    last.metadata = codec.metadata_of(reply, trace)
    last.evaluation_metadata = msgspec.Raw(reply.evaluation_json or "{}")
    yield last
    if include_usage:
        usage = chunk()
        usage.usage = codec.usage_of(reply)
        yield usage


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_encoder = msgspec.json.Encoder()
