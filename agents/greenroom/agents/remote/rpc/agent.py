"""An agent that any process is which implements `greenroom.v1.AgentService`."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from greenroom.agents.remote.failure import RemoteFailed
from greenroom.agents.remote.rpc.answer import Answer
from greenroom.agents.remote.rpc.line import Line
from greenroom.agents.remote.rpc.request import ToolSchemas, request_of
from greenroom.agents.remote.rpc.status import failure_of
from greenroom.agents.remote.rpc.target import read_target
from greenroom.sdk import Agent, Reply, Tool, ToolSource, Turn
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
        request = request_of(turn, self._target.agent, secrets.token_hex(16), schemas, self._tool_service)
        before = _shown(turn)
        try:
            return await self._ask(turn, request)
        except grpc.aio.AioRpcError as error:
            lost = error.code() is grpc.StatusCode.UNAVAILABLE and self._line.is_broken  # it has refused nothing
            if not lost or _shown(turn) != before:
                raise await self._failure(turn, error) from None
        request.resent = True
        request.timeout_ms = max(1, int(turn.time_left * 1000))
        try:
            return await self._ask(turn, request)
        except grpc.aio.AioRpcError as error:
            raise await self._failure(turn, error) from None

    async def _ask(self, turn: Turn, request: agent_pb2.RunTurnRequest) -> Reply:
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

    async def _failure(self, turn: Turn, error: grpc.aio.AioRpcError) -> Exception:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and turn.time_left < _LAST:
            await asyncio.sleep(2 * _LAST)  # the deadline was the turn's own, which ends it
        return failure_of(error, self._target.url)

    async def _introduce(self) -> None:
        """Connects, and asks what it is. It need not be there yet, nor answer."""
        everything, metadata = agent_pb2.ListAgentsRequest(), self._target.metadata
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
