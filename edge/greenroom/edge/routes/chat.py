"""`POST /v1/chat/completions`, a plain ASGI endpoint: the hot path (design/performance.md)."""

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from greenroom.edge import codec, schemas
from greenroom.edge.access import CHAT_PATH
from greenroom.edge.body import read_json
from greenroom.edge.chat_request import parse
from greenroom.edge.departures import Departures
from greenroom.edge.errors import OVERLOADED, EdgeError, bad_request
from greenroom.edge.exchange import Exchange, exchange_of
from greenroom.edge.gate import send_json
from greenroom.edge.identifiers import header_id, idempotency_key, minting, retry_count
from greenroom.edge.options import HttpOptions
from greenroom.edge.refusals import Refusals
from greenroom.edge.routes.chat_stream import REPLAYED, EventStream
from greenroom.edge.service import Service
from greenroom.v1.agent_pb2 import Caller, RunTurnRequest
from greenroom.v1.turn_pb2 import Reply


class ChatEndpoint:
    """Runs a turn. One per app."""

    def __init__(self, service: Service, options: HttpOptions, refusals: Refusals) -> None:
        self._service = service
        self._refusals = refusals
        self._max_body_bytes = options.max_body_bytes
        self._tool_trace = options.tool_trace
        self._stream_ping = options.stream_ping
        named = ("X-Session-Id", *options.session_headers, *options.transcript_headers)
        self._session_headers = tuple((name.lower().encode("latin-1"), name) for name in named)
        self._transcript_headers = frozenset(options.transcript_headers)
        self._callers: dict[tuple[str, str], Caller] = {}
        self._mint_attempt = minting("att_")
        self._departures = Departures(lambda attempt_id: service.core.turns.left(attempt_id))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.route = exchange.path
        if self._service.draining:
            raise EdgeError(OVERLOADED, "The server is shutting down", code="draining")
        core = self._service.core
        body = await read_json(scope, receive, exchange, self._max_body_bytes)
        exchange.request_body = body
        chat = parse(body)
        turn = codec.to_turn(chat, self._envelope(exchange, body))
        exchange.session_id = turn.session_id
        exchange.user_id = turn.user_id
        trace_in_metadata = self._trace_in_metadata(exchange)
        if chat.messages[-1].role == "tool":
            # CHAT-19: the tools ran already, so a client that runs them again is given the text it waits for
            reply = await self._run(turn, exchange, receive)
            if chat.stream:
                await EventStream(chat, exchange, send, trace_in_metadata=False).send_stored(reply)
            else:
                await send_json(send, 200, codec.from_reply(reply, show_calls=False), [])
        elif chat.stream:
            stream = EventStream(chat, exchange, send, trace_in_metadata=trace_in_metadata)
            with core.turns.stream(turn) as telling:
                try:
                    await stream.run(telling, receive, ping=self._stream_ping)
                except EdgeError:
                    raise
                except BaseException:  # whatever it was, nobody reads on
                    core.turns.left(turn.attempt_id)
                    raise
        else:
            reply = await self._run(turn, exchange, receive)
            answer = codec.from_reply(reply, trace_in_metadata=trace_in_metadata)
            await send_json(send, 200, answer, [REPLAYED] if reply.replayed else [])

    async def _run(self, turn: RunTurnRequest, exchange: Exchange, receive: Receive) -> Reply:
        """The reply. Raises `ClientDisconnect` where nobody is there for it; the turn has run all the same (CHAT-15)."""
        self._departures.enter(turn.attempt_id, receive)
        try:
            reply = await self._service.core.turns.run(turn)
        except BaseException:
            self._departures.forget(turn.attempt_id)
            raise
        exchange.answered_by(reply)
        if self._departures.has_left(turn.attempt_id):
            raise ClientDisconnect
        return reply

    def _envelope(self, exchange: Exchange, body: bytes) -> codec.Envelope:
        headers = exchange.headers
        count = retry_count(headers.get(b"x-stainless-retry-count"))
        session_id, transcript = "", False
        for key, name in self._session_headers:
            if key in headers and not session_id:
                session_id, transcript = header_id(headers[key], name), name in self._transcript_headers
        return codec.Envelope(
            session_id=session_id,
            attempt_id=self._mint_attempt(),
            idempotency_key=idempotency_key(headers.get(b"idempotency-key", b"")),
            request_id=exchange.request_id,
            traceparent=exchange.traceparent,
            caller=self._caller(exchange),
            retry_count=count,
            refused_at_us=self._refusals.first(exchange, body, count),
            transcript=transcript,
        )

    def _caller(self, exchange: Exchange) -> Caller:
        """One for each key, of which there are few."""
        key = (exchange.namespace, exchange.key_name)
        caller = self._callers.get(key)
        if caller is None:
            caller = self._callers[key] = Caller(namespace=exchange.namespace, key_name=exchange.key_name)
        return caller

    def _trace_in_metadata(self, exchange: Exchange) -> bool:
        """The request's wish, else the key's, else the setting."""
        wish = exchange.headers.get(b"x-tool-trace")
        if wish is None:
            return (exchange.tool_trace or self._tool_trace) == "metadata"
        if wish not in {b"message", b"metadata"}:
            raise bad_request("X-Tool-Trace must be `message` or `metadata`", "X-Tool-Trace")
        return wish == b"metadata"


def add_chat_route(app: FastAPI, chat: ChatEndpoint) -> None:
    """Documented as a FastAPI route, served by the endpoint itself."""

    async def create_chat_completion() -> None:
        """Run a turn: send what the user said, get the agent's reply with the tool calls it made."""

    events = {"schema": {"type": "string"}}
    app.add_api_route(
        CHAT_PATH,
        create_chat_completion,
        methods=["POST"],
        tags=["chat"],
        response_class=JSONResponse,
        responses={200: {"model": schemas.Completion, "content": {"text/event-stream": events}}},
    )
    route = app.routes[-1]
    assert isinstance(route, APIRoute)
    route.app = chat
