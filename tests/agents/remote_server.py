"""Agents behind gRPC for a test: real servers on free ports, and a core that hosts them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from core_running import Running, database, running

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


@asynccontextmanager
async def hosting(
    streamed: Streamed, folder: Path, sources: Sequence[Any] = (), **options: Any
) -> AsyncIterator[tuple[Running, Remote]]:
    """A core whose agent is that function behind gRPC."""
    remote = Remote(streamed)
    async with answering(remote) as port:
        agent = GrpcAgent(f"grpc://127.0.0.1:{port}", **options)
        async with running(agent, database(folder), sources=sources) as core:
            yield core, remote
