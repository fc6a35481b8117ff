"""`grpc.health.v1`: "" for the whole, `database` and `agent` for what it depends on, `agents` for
whether each of them is well, with all its tools (HEALTH-02..04)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from greenroom.core.core import Core
from greenroom.core.rpc.turn_runner import TurnRunner

Context = grpc.aio.ServicerContext[Any, Any]

_WATCH_SECONDS = 1.0
SERVICES = (
    "greenroom.v1.AgentService",
    "greenroom.v1.ToolService",
    "greenroom.v1.UserService",
    "greenroom.v1.SessionService",
)


class HealthService(health_pb2_grpc.HealthServicer):
    """Answers from the store's own cached check. Our services serve while the whole does."""

    def __init__(self, core: Core, runner: TurnRunner) -> None:
        self._core = core
        self._runner = runner
        self._checks: dict[str, Callable[[], Awaitable[bool]]] = {
            "database": self._database,
            "agent": self._agent,
            "agents": self._agents,
            **dict.fromkeys(("", *SERVICES), self._whole),
        }

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        check = self._checks.get(request.service)
        if check is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r}")
        return await self._answer(request.service)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last: health_pb2.HealthCheckResponse | None = None
        while True:
            answer = await self._answer(request.service)
            if answer != last:
                yield answer
                last = answer
            await asyncio.sleep(_WATCH_SECONDS)

    async def _answer(self, service: str) -> health_pb2.HealthCheckResponse:
        check = self._checks.get(service)
        if check is None:
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        if await check():
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)

    async def _whole(self) -> bool:
        return not self._runner.draining and await self._database()

    async def _database(self) -> bool:
        return (await self._core.store.health()).status != "unhealthy"

    async def _agent(self) -> bool:
        """Whether there is one that can reply."""
        return not self._runner.draining and self._core.agents.can_reply()

    async def _agents(self) -> bool:
        return not self._runner.draining and not any(self._core.agents.problems())
