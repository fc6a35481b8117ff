"""A core for a test: a real gRPC server on a free port, on a real SQLite file."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from greenroom.core.agent import Agent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.rpc.callers import Authenticate
from greenroom.core.rpc.server import CoreServer, Listeners
from greenroom.core.scenario_files.sources import Source
from greenroom.core.served import Served
from greenroom.storage import open_store
from greenroom.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    tool_pb2_grpc,
    turn_pb2,
    user_pb2_grpc,
)

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""

Serve = Callable[..., Awaitable["Running"]]
"""The fixture `serve`: `core = await serve(agent, limits=…, keys=…)`."""


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Waits, bounded, for what another task will bring about."""
    async with asyncio.timeout(PATIENCE):
        while True:
            met = condition()
            if (await met) if isinstance(met, Awaitable) else met:
                return
            await asyncio.sleep(0.002)


def database(folder: Path) -> str:
    return f"sqlite:///{folder}/core.db"


def make_core(
    agent: Agent,
    store: Store,
    limits: Limits | None = None,
    *,
    sources: Sequence[Source] = (),
    memory: bool = False,
    **options: Any,
) -> Core:
    limits = limits or Limits()
    return Core(Agents([Served(agent, agent.name, limits, sources, memory=memory)]), store, limits, **options)


def conversation(*texts: str) -> list[turn_pb2.Message]:
    """Texts of user and assistant by turns, so that the last one is the user's."""
    roles = ("user", "assistant")
    last = len(texts) - 1
    return [turn_pb2.Message(role=roles[(last - i) % 2], content=text) for i, text in enumerate(texts)]


def request(*texts: str, sid: str = "s1", **fields: Any) -> agent_pb2.RunTurnRequest:
    return agent_pb2.RunTurnRequest(messages=conversation(*texts), session_id=sid, **fields)


def asked(*texts: str, sid: str = "s1", **fields: Any) -> TurnRequest:
    """The same as the core itself takes it."""
    messages = tuple(Message(message.role, message.content) for message in conversation(*texts))
    return TurnRequest(messages=messages, session_id=sid, **fields)


@dataclass(slots=True)
class Failure:
    """An error as a gRPC caller gets it."""

    code: grpc.StatusCode
    message: str
    reason: str
    retryable: bool
    fields: Mapping[str, str]
    retry_after: float | None


def failure_in(status: status_pb2.Status) -> Failure:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    fields: dict[str, str] = {}
    retry_after = None
    for detail in status.details:
        if detail.Unpack(info):
            assert info.domain == "greenroom.dev"
        elif detail.Unpack(bad):
            fields = {violation.field: violation.description for violation in bad.field_violations}
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return Failure(code, status.message, info.reason, info.metadata["retryable"] == "true", fields, retry_after)


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Reads `google.rpc.Status` off a failed call, and checks that it says what the call's own status says."""
    status = status_pb2.Status()
    status.ParseFromString(dict(error.trailing_metadata() or ())["grpc-status-details-bin"])  # type: ignore[arg-type]
    failure = failure_in(status)
    assert (failure.code, failure.message) == (error.code(), error.details())
    return failure


async def refused(call: Awaitable[Any]) -> Failure:
    """How a call fails that must."""
    try:
        answer = await asyncio.wait_for(asyncio.ensure_future(call), PATIENCE)
    except grpc.aio.AioRpcError as error:
        return failure_of(error)
    raise AssertionError(f"it was answered: {answer}")


class Running:
    """A core that serves, and the stubs to talk to it."""

    def __init__(self, core: Core, server: CoreServer, channel: grpc.aio.Channel) -> None:
        self.core = core
        self.server = server
        self.channel = channel
        self.agents = agent_pb2_grpc.AgentServiceStub(channel)
        self.tools = tool_pb2_grpc.ToolServiceStub(channel)
        self.users = user_pb2_grpc.UserServiceStub(channel)
        self.sessions = session_pb2_grpc.SessionServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    async def say(self, *texts: str, sid: str = "s1", **fields: Any) -> turn_pb2.Reply:
        return (await self.agents.RunTurn(request(*texts, sid=sid, **fields), timeout=PATIENCE)).reply

    async def refuses(self, *texts: str, sid: str = "s1", **fields: Any) -> Failure:
        return await self.refuses_turn(request(*texts, sid=sid, **fields))

    async def refuses_turn(self, turn: agent_pb2.RunTurnRequest) -> Failure:
        return await refused(self.agents.RunTurn(turn, timeout=PATIENCE))

    async def turns(self, sid: str = "s1") -> session_pb2.ListTurnsResponse:
        return await self.sessions.ListTurns(session_pb2.ListTurnsRequest(session_id=sid))

    async def world(self, sid: str = "s1", **which: int) -> Any:
        return (await self.world_view(sid, **which))[1]

    async def world_view(
        self, sid: str = "s1", **which: int
    ) -> tuple[session_pb2.WorldHead, Any, list[turn_pb2.Change]]:
        head, data, changes = session_pb2.WorldHead(), b"", []
        async for chunk in self.sessions.GetWorld(session_pb2.GetWorldRequest(session_id=sid, **which)):
            assert chunk.ByteSize() < 1_000_000
            if chunk.HasField("head"):
                head = chunk.head
            data += chunk.world_json
            changes += chunk.changes
        return head, json.loads(data), changes

    async def is_serving(self, service: str = "") -> bool:
        answer = await self.health.Check(health_pb2.HealthCheckRequest(service=service))
        return answer.status == health_pb2.HealthCheckResponse.SERVING


class Stream:
    """A `RunTurns` call whose outcomes are gathered by sequence."""

    def __init__(self, running: Running, **call: Any) -> None:
        self.call = running.agents.RunTurns(**call)
        self.messages: list[agent_pb2.RunTurnsResponse] = []
        self._outcomes: dict[int, agent_pb2.TurnOutcome] = {}
        self.told: dict[int, list[agent_pb2.StreamTurnResponse]] = {}
        """What streamed turns have told so far."""

    async def send(
        self,
        turns: Mapping[int, agent_pb2.RunTurnRequest] | None = None,
        *,
        cancel: Sequence[int] = (),
        stream: bool = False,
    ) -> None:
        items = [
            agent_pb2.TurnItem(sequence=number, turn=turn, stream=stream) for number, turn in (turns or {}).items()
        ]
        await self.call.write(agent_pb2.RunTurnsRequest(turns=items, cancel=cancel))

    async def read(self) -> None:
        """The next message."""
        message = await self.call.read()
        assert isinstance(message, agent_pb2.RunTurnsResponse), "the stream ended"
        self.messages.append(message)
        for told in message.told:
            assert told.sequence not in self._outcomes, "told after its outcome"
            self.told.setdefault(told.sequence, []).extend(told.events)
        for outcome in message.outcomes:
            assert outcome.sequence not in self._outcomes, "answered twice"
            self._outcomes[outcome.sequence] = outcome

    def text(self, sequence: int) -> str:
        """What a streamed turn has said so far."""
        return "".join(event.text_delta for event in self.told.get(sequence, ()))

    async def says(self, sequence: int, text: str) -> None:
        """Waits until it has said just this."""
        async with asyncio.timeout(PATIENCE):
            while self.text(sequence) != text:
                await self.read()

    async def outcome(self, sequence: int) -> agent_pb2.TurnOutcome:
        async with asyncio.timeout(PATIENCE):
            while sequence not in self._outcomes:
                await self.read()
        return self._outcomes[sequence]

    async def reply(self, sequence: int) -> turn_pb2.Reply:
        outcome = await self.outcome(sequence)
        assert outcome.WhichOneof("outcome") == "reply", outcome
        return outcome.reply

    async def failure(self, sequence: int) -> Failure:
        outcome = await self.outcome(sequence)
        assert outcome.WhichOneof("outcome") == "error", outcome
        return failure_in(outcome.error)

    async def ends(self) -> None:
        """Waits for the server to end the stream in good order."""
        async with asyncio.timeout(PATIENCE):
            while isinstance(message := await self.call.read(), agent_pb2.RunTurnsResponse):
                self.messages.append(message)
            assert await self.call.code() == grpc.StatusCode.OK


@asynccontextmanager
async def running(
    agent: Agent,
    url: str,
    *,
    limits: Limits | None = None,
    keys: Authenticate | None = None,
    unix_path: str | None = None,
    listeners: Listeners | None = None,
    store: Store | None = None,
    **options: Any,
) -> AsyncIterator[Running]:
    """Serves an agent until the context ends."""
    core = make_core(agent, store or open_store(url), limits, **options)
    server = CoreServer(core, listeners or Listeners(port=0, unix_path=unix_path), keys=keys)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Running(core, server, channel)
    finally:
        await server.stop()
