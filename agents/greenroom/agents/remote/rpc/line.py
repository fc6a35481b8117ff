"""The connection to a remote agent: made when it is first needed, and again whenever it was lost."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from greenroom.agents.remote.rpc.turn_stream import TurnStream
from greenroom.tools.rpc.target import Target
from greenroom.v1 import agent_pb2, agent_pb2_grpc

if TYPE_CHECKING:
    from greenroom.v1.agent_pb2_grpc import AgentServiceAsyncStub

_RECONNECTING = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
_TURNS = f"/{agent_pb2.DESCRIPTOR.services_by_name['AgentService'].full_name}/RunTurns"
_LOOKS, _BETWEEN_LOOKS = 10, 0.01
"""At a connection that has perhaps broken; the second in seconds."""
_ENDING = 5.0
"""Seconds that the agent may take to end a stream after its last event."""


class Line:
    """To be used on one loop at a time, until it is hung up."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._stub: AgentServiceAsyncStub | None = None
        self._turns: TurnStream | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def stub(self) -> "AgentServiceAsyncStub":
        if self._stub is None:
            self._stub = agent_pb2_grpc.AgentServiceStub(self._open())
        return self._stub

    @property
    def turns(self) -> TurnStream | None:
        """The stream of turns, another one where it has ended or is going to; None where the agent has said that it does
        not implement it."""
        self._retire()
        turns = self._turns
        if turns is None or turns.is_retired or (turns.is_over and not turns.is_unimplemented):
            turns = self._turns = self._new_turns()
        return None if turns.is_unimplemented else turns

    @property
    def is_down(self) -> bool:
        """Whether the agent could not be reached when that was tried last; it is tried now if it is not connected."""
        self._retire()
        return self._open().get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    async def is_broken(self) -> bool:
        """Whether it was there, and its connection is not there any more. gRPC may end calls a moment before it says so."""
        for _ in range(_LOOKS):
            state = self._open().get_state()
            if state is not grpc.ChannelConnectivity.READY:
                return state in _RECONNECTING
            await asyncio.sleep(_BETWEEN_LOOKS)
        return False

    def read_on(self, call: Any) -> None:
        """Lets a stream end as the agent ends it: broken off, it would look there as if the turn had been cancelled."""
        self._keep(asyncio.create_task(_drained(call)))

    async def hang_up(self) -> None:
        """Closes it; used again, it is opened again."""
        channel, self._channel, self._stub = self._channel, None, None
        turns, self._turns = self._turns, None
        if turns is not None:
            await turns.close()
        for task in list(self._tasks):
            task.cancel()
        if channel is not None:
            await channel.close()

    def _new_turns(self) -> TurnStream:
        run_turns: grpc.aio.StreamStreamMultiCallable[bytes, agent_pb2.RunTurnsResponse] = self._open().stream_stream(
            _TURNS, request_serializer=None, response_deserializer=agent_pb2.RunTurnsResponse.FromString
        )
        turns = TurnStream(run_turns(metadata=self._target.metadata), self.is_broken)
        self._keep(turns.reader)
        return turns

    def _retire(self) -> None:
        """Lets the stream end when its connection is going to: an agent that is shut down answers over it what it was asked,
        and what it is asked next it would be asked in vain."""
        turns = self._turns
        if turns is not None and turns.has_answered and self._open().get_state() is not grpc.ChannelConnectivity.READY:
            turns.retire()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._target.channel()
        return self._channel


async def _drained(call: Any) -> None:
    with suppress(grpc.aio.AioRpcError, TimeoutError):  # it has told all there is to tell
        async with asyncio.timeout(_ENDING):
            async for _ in call:
                pass
    call.cancel()
