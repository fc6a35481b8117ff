"""How the sandbox is (HEALTH-01..04): asked of the core once a second, so that answering costs nothing."""

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Literal

import grpc
import msgspec
from grpc_health.v1 import health_pb2

from greenroom.edge.meters import Meters
from greenroom.edge.service import Service

State = Literal["healthy", "degraded", "unhealthy"]
DEPENDENCIES = {"core": "", "database": "database", "agent": "agent"}
"""A name in the answer, and the service asked for over grpc.health.v1."""
_ALL_AGENTS = "agents"
"""Asked for when the agent is well: whether all of them are."""
VITAL = frozenset({"core", "database"})
CHECK_TIMEOUT = 1.0
SLOW_SECONDS = 0.5
_SERVING = health_pb2.HealthCheckResponse.SERVING


class Measured(msgspec.Struct):
    """`response_time_avg` in milliseconds and `error_rate` in percent of 5xx, over five minutes; the edge's own process."""

    response_time_avg: float
    error_rate: float
    memory_usage: float
    cpu_usage: float


class Health(msgspec.Struct):
    """The body of `/health`."""

    status: State
    timestamp: str
    version: str
    uptime: int
    dependencies: dict[str, State]
    metrics: Measured


class HealthMonitor:
    """Looks at the core from `start` to `close`."""

    def __init__(self, service: Service, meters: Meters, interval: float) -> None:
        self._service = service
        self._meters = meters
        self._interval = interval
        self._states = _nothing_known()
        self._usage = ProcessUsage()
        self._watching: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    def start(self) -> None:
        """Begins to look."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stops looking."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def report(self) -> Health:
        """The body. Waits only for the very first look."""
        await self._looked.wait()
        states = self._states if self._service.core.reachable() else _nothing_known()
        response_time, errors = self._meters.recent()
        return Health(
            status=self._overall(states),
            timestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            version=self._service.version,
            uptime=int(time.monotonic() - self._service.started),
            dependencies=states,
            metrics=Measured(round(response_time, 2), round(errors, 2), self._usage.memory, self._usage.cpu),
        )

    def _overall(self, states: dict[str, State]) -> State:
        if self._service.draining or any(states[name] == "unhealthy" for name in VITAL):
            return "unhealthy"
        return "healthy" if set(states.values()) == {"healthy"} else "degraded"

    async def _watch(self) -> None:
        while True:
            found = await asyncio.gather(*(self._ask(service) for service in DEPENDENCIES.values()))
            states = dict(zip(DEPENDENCIES, found, strict=True))
            if states["agent"] == "healthy" and await self._ask(_ALL_AGENTS) == "unhealthy":
                states["agent"] = "degraded"
            self._states = states
            self._usage.sample()
            self._looked.set()
            await asyncio.sleep(self._interval)

    async def _ask(self, service: str) -> State:
        core = self._service.core
        begun = time.monotonic()
        try:
            answer = await core.check_health(
                health_pb2.HealthCheckRequest(service=service), timeout=CHECK_TIMEOUT, metadata=core.metadata(None)
            )
        except grpc.aio.AioRpcError as error:
            # A core that does not know the part by name says nothing against it.
            return "degraded" if error.code() is grpc.StatusCode.NOT_FOUND else "unhealthy"
        if answer.status != _SERVING:
            return "unhealthy"
        return "degraded" if time.monotonic() - begun > SLOW_SECONDS else "healthy"


def _nothing_known() -> dict[str, State]:
    return dict.fromkeys(DEPENDENCIES, "unhealthy")


class ProcessUsage:
    """This process: percent of the machine's memory that it holds, percent of one core that it used since the last sample."""

    def __init__(self) -> None:
        self.memory = 0.0
        self.cpu = 0.0
        self._at = time.monotonic()
        self._spent = time.process_time()
        self._pages = os.sysconf("SC_PHYS_PAGES")

    def sample(self) -> None:
        """Measures."""
        now, spent = time.monotonic(), time.process_time()
        if now > self._at:
            self.cpu = round((spent - self._spent) / (now - self._at) * 100, 1)
        self._at, self._spent = now, spent
        self.memory = round(_resident_pages() / self._pages * 100, 1)


def _resident_pages() -> int:
    """0 where there is no /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1])
    except OSError:
        return 0
