"""Agents behind gRPC for a test: real servers on free ports, and a core that hosts them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import grpc
from core_running import Running, database, running
from google.rpc import status_pb2

from greenroom.agents.remote import GrpcAgent
from greenroom.v1 import agent_pb2, agent_pb2_grpc, turn_pb2

Context = grpc.aio.ServicerContext[Any, Any]
Streamed = Callable[[agent_pb2.RunTurnRequest, Context], AsyncIterator[agent_pb2.StreamTurnResponse]]


def text(piece: str) -> agent_pb2.StreamTurnResponse:
    return agent_pb2.StreamTurnResponse(text_delta=piece)


def completed(reply: str, *, state: Any = None, **fields: Any) -> agent_pb2.StreamTurnResponse:
    hosted = None if state is None else agent_pb2.HostedReply(state_json=json.dumps(state))
    return agent_pb2.StreamTurnResponse(completed=turn_pb2.Reply(text=reply, **fields), hosted=hosted)


class Remote(agent_pb2_grpc.AgentServiceServicer):
    """Streams what a function yields; notes the turns it was sent."""

    def __init__(self, streamed: Streamed) -> None:
        self._streamed = streamed
        self.turns: list[agent_pb2.RunTurnRequest] = []
        self.metadata: dict[str, Any] = {}
        self.gone = asyncio.Event()
        """Set when a caller has left before it had its answer."""

    async def StreamTurn(
        self, request: agent_pb2.StreamTurnRequest, context: Context
    ) -> AsyncIterator[agent_pb2.StreamTurnResponse]:
        self.turns.append(request.turn)
        self.metadata = dict(context.invocation_metadata() or ())  # type: ignore[arg-type]
        try:
            async for event in self._streamed(request.turn, context):
                yield event
        except asyncio.CancelledError:
            self.gone.set()
            raise

    async def ListAgents(self, request: agent_pb2.ListAgentsRequest, context: Context) -> agent_pb2.ListAgentsResponse:
        agents = [agent_pb2.AgentInfo(id=name, description=f"Is the {name} one.") for name in ("first", "second")]
        return agent_pb2.ListAgentsResponse(agents=agents)


class Aside:
    """What a turn of a stream has for a context."""

    async def abort(self, code: grpc.StatusCode, said: str, metadata: Any = ()) -> None:
        status = status_pb2.Status()
        for _, packed in metadata:
            status.ParseFromString(packed)
        status.code, status.message = code.value[0], said
        raise Refusal(status)


class Refusal(Exception):
    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class Joined(Remote):
    """One that implements RunTurns as well. Of a turn whose function ends without `completed` nothing more is heard."""

    def __init__(self, streamed: Streamed) -> None:
        super().__init__(streamed)
        self.joined = 0
        """How many of the turns came over streams."""
        self.read = 0
        """Characters that were read of them, as it was told."""

    async def RunTurns(
        self, requests: AsyncIterator[agent_pb2.RunTurnsRequest], context: Context
    ) -> AsyncIterator[agent_pb2.RunTurnsResponse]:
        self.metadata = dict(context.invocation_metadata() or ())  # type: ignore[arg-type]
        answers: asyncio.Queue[agent_pb2.RunTurnsResponse | None] = asyncio.Queue()
        reading = asyncio.create_task(self._take(requests, answers))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            reading.cancel()

    async def _take(
        self,
        requests: AsyncIterator[agent_pb2.RunTurnsRequest],
        answers: "asyncio.Queue[agent_pb2.RunTurnsResponse | None]",
    ) -> None:
        running: dict[int, asyncio.Task[None]] = {}
        try:
            async for request in requests:
                for item in request.turns:
                    self.joined += 1
                    self.turns.append(item.turn)
                    running[item.sequence] = asyncio.create_task(self._run(item, answers))
                for sequence in request.cancel:
                    running[sequence].cancel()
                self.read += sum(progress.characters for progress in request.read)
            await asyncio.gather(*running.values(), return_exceptions=True)
            answers.put_nowait(None)
        finally:
            for task in running.values():
                task.cancel()

    async def _run(self, item: agent_pb2.TurnItem, answers: "asyncio.Queue[agent_pb2.RunTurnsResponse | None]") -> None:
        def put(**answer: Any) -> None:
            answers.put_nowait(agent_pb2.RunTurnsResponse(**answer))

        number, is_over = item.sequence, False
        try:
            async for event in self._streamed(item.turn, cast("Context", Aside())):
                if event.HasField("completed"):
                    hosted = event.hosted if event.HasField("hosted") else None
                    put(outcomes=[agent_pb2.TurnOutcome(sequence=number, reply=event.completed, hosted=hosted)])
                    is_over = True
                elif item.stream:
                    put(told=[agent_pb2.TurnEvents(sequence=number, events=[event])])
        except Refusal as refusal:
            put(outcomes=[agent_pb2.TurnOutcome(sequence=number, error=refusal.status)])
        except asyncio.CancelledError:
            if not is_over:
                self.gone.set()
            raise


@asynccontextmanager
async def answering(
    servicer: agent_pb2_grpc.AgentServiceServicer, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    """Serves it; the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    agent_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=None)


WAY: ContextVar[type[Remote]] = ContextVar("way", default=Remote)
"""How the agents that are hosted answer."""


@asynccontextmanager
async def hosting(
    streamed: Streamed, folder: Path, sources: Sequence[Any] = (), **options: Any
) -> AsyncIterator[tuple[Running, Remote]]:
    """A core whose agent is that function behind gRPC."""
    remote = WAY.get()(streamed)
    async with answering(remote) as port:
        agent = GrpcAgent(f"grpc://127.0.0.1:{port}", **options)
        async with running(agent, database(folder), sources=sources) as core:
            yield core, remote
