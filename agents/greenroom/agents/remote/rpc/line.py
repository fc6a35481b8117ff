"""The connection to a remote agent: made when it is first needed, and again whenever it was lost."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from greenroom.agents.remote.rpc.target import Target
from greenroom.v1 import agent_pb2_grpc

if TYPE_CHECKING:
    from greenroom.v1.agent_pb2_grpc import AgentServiceAsyncStub

_RECONNECTING = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
_ENDING = 5.0
"""Seconds that the agent may take to end a stream after its last event."""


class Line:
    """To be used on one loop at a time, until it is hung up."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._stub: AgentServiceAsyncStub | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def stub(self) -> "AgentServiceAsyncStub":
        if self._stub is None:
            self._stub = agent_pb2_grpc.AgentServiceStub(self._open())
        return self._stub

    @property
    def is_down(self) -> bool:
        """Whether the agent could not be reached when that was tried last; it is tried now if it is not connected."""
        return self._open().get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    @property
    def is_broken(self) -> bool:
        """Whether it was there, and its connection is not there any more."""
        return self._open().get_state() in _RECONNECTING

    def read_on(self, call: Any) -> None:
        """Lets a stream end as the agent ends it: broken off, it would look there as if the turn had been cancelled."""
        task = asyncio.create_task(_drained(call))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def hang_up(self) -> None:
        """Closes it; used again, it is opened again."""
        channel, self._channel, self._stub = self._channel, None, None
        for task in self._ending:
            task.cancel()
        if channel is not None:
            await channel.close()

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
