"""`AgentService`: decodes, calls the use case, encodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from greenroom.core.core import Core
from greenroom.core.rpc import callers
from greenroom.core.rpc.callers import principal_of
from greenroom.core.rpc.codec import reply_to, turn_request
from greenroom.core.rpc.streamed_turn import StreamedTurn
from greenroom.core.rpc.turn_runner import TurnRunner
from greenroom.core.rpc.turn_stream import TurnStream
from greenroom.v1 import agent_pb2, agent_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class AgentService(agent_pb2_grpc.AgentServiceServicer):
    def __init__(self, core: Core, runner: TurnRunner) -> None:
        self._core = core
        self._runner = runner
        self._tasks: set[asyncio.Task[Any]] = set()
        """Turns that came over streams; they outlive a stream that breaks."""

    async def RunTurn(self, request: agent_pb2.RunTurnRequest, context: Context) -> agent_pb2.RunTurnResponse:
        turn = turn_request(request, principal_of(request, callers.current.get()), context.time_remaining())
        return agent_pb2.RunTurnResponse(reply=reply_to(await self._runner.run(turn)))

    async def StreamTurn(
        self, request: agent_pb2.StreamTurnRequest, context: Context
    ) -> AsyncIterator[agent_pb2.StreamTurnResponse]:
        turn = turn_request(request.turn, principal_of(request.turn, callers.current.get()), context.time_remaining())
        streamed = StreamedTurn(self._runner, turn, self._tasks, log=not callers.is_local_edge(context))
        try:
            async with aclosing(streamed.events()) as events:
                async for event in events:
                    yield event
        finally:
            streamed.leave()

    async def RunTurns(
        self, request_iterator: AsyncIterator[agent_pb2.RunTurnsRequest], context: Context
    ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        log = not callers.is_local_edge(context)
        stream = TurnStream(self._runner, callers.current.get(), self._tasks, log=log)
        reading = asyncio.create_task(stream.read(request_iterator))
        try:
            async for response in stream.outcomes(reading):
                yield response
        finally:
            reading.cancel()

    async def ListAgents(self, request: agent_pb2.ListAgentsRequest, context: Context) -> agent_pb2.ListAgentsResponse:
        return agent_pb2.ListAgentsResponse(
            agents=[
                agent_pb2.AgentInfo(
                    id=served.id, description=served.agent.description, tools=[tool.name for tool in served.agent.tools]
                )
                for served in self._core.agents
            ]
        )
