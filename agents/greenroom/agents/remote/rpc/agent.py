"""An agent that any process is which implements `greenroom.v1.AgentService`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from greenroom.agents.remote.failure import RemoteFailed
from greenroom.agents.remote.rpc.answer import Answer
from greenroom.agents.remote.rpc.line import Line
from greenroom.agents.remote.rpc.request import ToolSchemas, write_request
from greenroom.agents.remote.rpc.status import CallFailed, failure_of, of_call, of_turn
from greenroom.agents.remote.rpc.turn_stream import LARGEST, Progress, TurnStream
from greenroom.sdk import Agent, Reply, Tool, ToolSource, Turn
from greenroom.tools.rpc.target import read_target
from greenroom.v1 import agent_pb2

_LAST = 0.1
"""Seconds of a turn that are its last."""

_ASKING = 1.0
"""Seconds that the agent may take at start to say what it is."""


class GrpcAgent(Agent):
    """The agent at `grpc://host:port` (`grpcs://` with TLS; `grpc://host:port/shop` is the one of several that is named so).

    `tools` and `world` are what it may call here, over ToolService at `tool_service` ("host:port", passed on with each turn;
    "": it knows). `key_env` names the environment variable with the key to send. `authority` is a PEM file: whom to trust in
    place of the authorities that gRPC knows. Raises `AgentError` for settings that cannot work.
    """

    def __init__(
        self,
        target: str,
        *,
        tools: Sequence[Tool[..., Any] | ToolSource] = (),
        world: Mapping[str, Any] | str | Path | None = None,
        key_env: str = "",
        authority: str | Path | None = None,
        tool_service: str = "",
    ) -> None:
        self._target = read_target(target, key_env, authority)
        super().__init__(target, tools=tools, world=world)
        self._described = ""
        self._tool_service = tool_service
        self._line = Line(self._target)
        self._streams = True
        """Until it has said that it does not implement StreamTurn."""
        self._schemas = ToolSchemas()
        self.reply(self._reply)
        self.on_startup(self._introduce)
        self.on_shutdown(self._line.hang_up)
        self.on_health(self._is_down)

    @property
    def description(self) -> str:
        """What it said of itself when it was connected first."""
        return self._described

    async def _reply(self, turn: Turn) -> Reply:
        schemas = self._schemas.of(turn.toolbox.tools)
        request = agent_pb2.RunTurnsRequest()
        item = request.turns.add(stream=turn.streamed)
        write_request(item.turn, turn, self._target.agent, schemas, self._tool_service)
        before = _shown(turn)
        try:
            return await self._ask(turn, request)
        except CallFailed as failed:
            if not failed.lost or _shown(turn) != before:
                raise await self._failure(turn, failed, request) from None
        item.turn.resent = True
        item.turn.timeout_ms = max(1, int(turn.time_left * 1000))
        try:
            return await self._ask(turn, request)
        except CallFailed as failed:
            raise await self._failure(turn, failed, request) from None

    async def _ask(self, turn: Turn, request: agent_pb2.RunTurnsRequest) -> Reply:
        """In the best way that the agent implements. Raises `CallFailed` or `RemoteFailed`."""
        stream = self._line.turns
        if stream is not None and request.ByteSize() <= LARGEST:
            try:
                return await self._joined(turn, request, stream)
            except CallFailed as failed:
                if not failed.of_no_stream:
                    raise
                request.turns[0].turn.resent = failed.code is not grpc.StatusCode.UNIMPLEMENTED
        try:
            return await self._called(turn, request.turns[0].turn)
        except grpc.aio.AioRpcError as error:
            lost = error.code() is grpc.StatusCode.UNAVAILABLE and await self._line.is_broken()
            raise of_call(error, lost=lost) from None

    async def _joined(self, turn: Turn, request: agent_pb2.RunTurnsRequest, stream: TurnStream) -> Reply:
        """Over the stream that all turns share. The turn's deadline cancels this, as it does any agent."""
        answer, asked = Answer(turn), stream.ask(request)
        progress = Progress(stream, asked)
        try:
            while not isinstance(came := await asked.next(), agent_pb2.TurnOutcome):
                await answer.take(came)
                progress.add(came)
        finally:
            stream.leave(asked)
        if came.HasField("error"):
            raise of_turn(came.error)
        return answer.whole(came.reply, came.hosted)

    async def _called(self, turn: Turn, request: agent_pb2.RunTurnRequest) -> Reply:
        answer = Answer(turn)
        if self._streams:
            try:
                return await self._streamed(turn, request, answer)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                self._streams = False
        response = await self._line.stub.RunTurn(request, timeout=turn.time_left, metadata=self._target.metadata)
        return answer.whole(response.reply, response.hosted)

    async def _streamed(self, turn: Turn, request: agent_pb2.RunTurnRequest, answer: Answer) -> Reply:
        streamed = agent_pb2.StreamTurnRequest(turn=request)
        call = self._line.stub.StreamTurn(streamed, timeout=turn.time_left, metadata=self._target.metadata)
        try:
            async for event in call:
                reply = await answer.take(event)
                if reply is not None:
                    self._line.read_on(call)
                    return reply
        except BaseException:
            call.cancel()
            raise
        raise RemoteFailed("its stream ended without `completed`")

    async def _failure(self, turn: Turn, failed: CallFailed, request: agent_pb2.RunTurnsRequest) -> Exception:
        if failed.code is grpc.StatusCode.DEADLINE_EXCEEDED and turn.time_left < _LAST:
            await asyncio.sleep(2 * _LAST)  # the deadline was the turn's own, which ends it
        return failure_of(failed, self._target.url, request.ByteSize())

    async def _introduce(self) -> None:
        """Connects, and asks what it is. It need not be there yet, nor answer."""
        everything, metadata = agent_pb2.ListAgentsRequest(), self._target.metadata
        _ = self._line.turns  # so that it is known whether there is one
        try:
            listed = await self._line.stub.ListAgents(everything, timeout=_ASKING, metadata=metadata)
        except grpc.aio.AioRpcError:
            return
        named = [info for info in listed.agents if info.id == self._target.agent or not self._target.agent]
        self._described = named[0].description if named else ""

    def _is_down(self) -> str:
        return f"{self._target.url} cannot be reached" if self._line.is_down else ""


def _shown(turn: Turn) -> tuple[int, int]:
    """How much there is in the turn that a second try would say or do again."""
    return len(turn.said), len(turn.toolbox.records)
