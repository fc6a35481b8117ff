"""An edge for a test: in process, or served by uvicorn where the wire matters."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from greenroom.edge import Authenticate, CoreOptions, EdgeOptions, HttpOptions, RateLimiter, create_app

SHIPPED = Path(__file__).parents[2] / "edge" / "greenroom" / "edge" / "examples"


@dataclass(frozen=True)
class Key:
    """A principal."""

    name: str
    scopes: frozenset[str] = frozenset({"chat", "inspect"})
    namespace: str = ""
    tool_trace: str | None = None


KEYS = {
    "sk-all": Key("all"),
    "sk-chat": Key("chatter", frozenset({"chat"})),
    "sk-inspect": Key("reader", frozenset({"inspect"})),
    "sk-trace": Key("tracer", namespace="team-a", tool_trace="metadata"),
}


def published(name: str) -> Any:
    return json.loads((SHIPPED / f"{name}.json").read_text())


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Waits, bounded, for something that another task will bring about."""
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if (await met) if isinstance(met, Awaitable) else met:
                return
            await asyncio.sleep(0.005)


def options(target: str, **changes: Any) -> EdgeOptions:
    """Fast enough for tests: the edge gives up after a tenth of a second and its slack."""
    http = changes.pop("http", HttpOptions(rate_limit=None))
    given = EdgeOptions(core=CoreOptions(target=target), version="1.2.3", http=http, health_interval=0.02)
    return replace(given, **changes)


@asynccontextmanager
async def in_process(
    given: EdgeOptions, authenticate: Authenticate | None = None, limiter: RateLimiter | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that calls the app without a socket."""
    app = create_app(given, authenticate, limiter)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as client:
            client.app = app  # type: ignore[attr-defined]
            yield client


@asynccontextmanager
async def served(given: EdgeOptions, authenticate: Authenticate | None = None, **settings: Any) -> AsyncIterator[str]:
    """The base URL of an edge on a real socket."""
    app = create_app(given, authenticate)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, **settings)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done())
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(20):
            await serving
