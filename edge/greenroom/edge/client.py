"""The core, as the edge calls it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from greenroom.edge.errors import OVERLOADED, EdgeError, from_rpc_error, is_ours
from greenroom.edge.exchange import Exchange
from greenroom.edge.options import CoreOptions
from greenroom.edge.turn_stream import TurnStream
from greenroom.v1 import agent_pb2, agent_pb2_grpc, session_pb2_grpc, tool_pb2_grpc, user_pb2_grpc

UNARY_TIMEOUT = 15.0
"""Seconds for everything but turns, waiting for a core that restarts included."""
SLACK = 5.0
"""How much later than the core the edge gives a turn up."""
MAX_MESSAGE_BYTES = 8 * 1024 * 1024

_RETRY_PAUSE = 0.05
_TURNS = f"/{agent_pb2.DESCRIPTOR.services_by_name['AgentService'].full_name}/RunTurns"
_Request = TypeVar("_Request", bound=Message, contravariant=True)
_Response = TypeVar("_Response", covariant=True)
Metadata = tuple[tuple[str, str], ...]


class _Unary(Protocol[_Request, _Response]):
    def __call__(
        self, request: _Request, /, *, timeout: float, metadata: Metadata, wait_for_ready: bool
    ) -> Awaitable[_Response]: ...


class _Stream(Protocol[_Request, _Response]):
    def __call__(
        self, request: _Request, /, *, timeout: float, metadata: Metadata, wait_for_ready: bool
    ) -> AsyncIterable[_Response]: ...


class CoreClient:
    """One channel: the stream of turns, and a stub for each service. To be made inside a running loop."""

    def __init__(self, options: CoreOptions) -> None:
        self._key = options.key
        self._turn_timeout = options.turn_timeout + options.session_wait + SLACK
        self._channel = _open_channel(options)
        self.agents = agent_pb2_grpc.AgentServiceStub(self._channel)
        self.users = user_pb2_grpc.UserServiceStub(self._channel)
        self.sessions = session_pb2_grpc.SessionServiceStub(self._channel)
        self.tools = tool_pb2_grpc.ToolServiceStub(self._channel)
        self.check_health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        run_turns: grpc.aio.StreamStreamMultiCallable[bytes, agent_pb2.RunTurnsResponse] = self._channel.stream_stream(
            _TURNS, request_serializer=None, response_deserializer=agent_pb2.RunTurnsResponse.FromString
        )
        self.turns = TurnStream(
            self._channel.channel_ready,
            lambda: run_turns(metadata=self.metadata(None), wait_for_ready=True),
            self.reachable,
            timeout=self._turn_timeout,
            max_pending=options.max_pending,
        )

    def start(self) -> None:
        """Connects."""
        self._channel.get_state(try_to_connect=True)
        self.turns.start()

    async def close(self) -> None:
        """Ends the stream and the channel."""
        await self.turns.close()
        await self._channel.close()

    def reachable(self) -> bool:
        """Whether the core is connected right now."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    def metadata(self, exchange: Exchange | None) -> Metadata:
        """On whose behalf a call is made, and who the edge itself is."""
        entries = [("authorization", f"Bearer {self._key}")] if self._key else []
        if exchange is not None:
            entries.append(("x-request-id", exchange.request_id))
            entries.append(("greenroom-namespace", exchange.namespace))
            entries.append(("greenroom-key", exchange.key_name))
            if exchange.traceparent:
                entries.append(("traceparent", exchange.traceparent))
        return tuple(entries)

    async def call(self, method: _Unary[_Request, _Response], request: _Request, exchange: Exchange) -> _Response:
        """Calls the core for `exchange`; a connection that breaks is tried again until the deadline. Raises EdgeError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UNARY_TIMEOUT
        while True:
            try:
                return await method(
                    request,
                    timeout=max(0.001, deadline - loop.time()),
                    metadata=self.metadata(exchange),
                    wait_for_ready=True,
                )
            except grpc.aio.AioRpcError as error:
                await self._give_up(error, deadline)

    async def read(
        self, method: _Stream[_Request, _Response], request: _Request, exchange: Exchange
    ) -> AsyncGenerator[_Response]:
        """A streamed answer, from its beginning to its end. Raises EdgeError."""
        try:
            async for message in method(
                request, timeout=UNARY_TIMEOUT, metadata=self.metadata(exchange), wait_for_ready=True
            ):
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._told(error) from None

    async def _give_up(self, error: grpc.aio.AioRpcError, deadline: float) -> None:
        """Raises what the caller is told, or returns after a pause when it is worth another try."""
        loop = asyncio.get_running_loop()
        broken = error.code() is grpc.StatusCode.UNAVAILABLE and not is_ours(error)
        if not broken or loop.time() + _RETRY_PAUSE >= deadline:
            raise self._told(error) from None
        await asyncio.sleep(_RETRY_PAUSE)

    def _told(self, error: grpc.aio.AioRpcError) -> EdgeError:
        """A deadline that passed while nobody was there is 503, not 504."""
        late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not is_ours(error)
        if late and not self.reachable():
            return EdgeError(OVERLOADED)
        return from_rpc_error(error)


def _open_channel(options: CoreOptions) -> grpc.aio.Channel:
    settings: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 500),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if options.tls is None:
        return grpc.aio.insecure_channel(options.target, settings)
    if options.tls.server_name:
        settings.append(("grpc.ssl_target_name_override", options.tls.server_name))
    credentials = grpc.ssl_channel_credentials(options.tls.ca, options.tls.key, options.tls.certificate)
    return grpc.aio.secure_channel(options.target, credentials, settings)
