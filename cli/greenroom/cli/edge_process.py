"""The edge's process: uvicorn on a socket that is already open, in front of a core."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

import uvicorn

from greenroom.cli.http_protocol import HttpProtocol
from greenroom.cli.process import CannotStart, Ready
from greenroom.cli.settings import Settings
from greenroom.cli.setup import key_ring, set_up_log
from greenroom.cli.values import split_rate
from greenroom.cli.version import VERSION
from greenroom.edge import create_app
from greenroom.edge.options import CoreOptions, CoreTls, EdgeOptions, HttpOptions, LogOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

_KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than clients keep theirs (often 5 s), or one is closed as it is used."""
_LINGER = 0.02
"""Seconds between two looks at what is awaited."""
_PATIENCE = 10.0
"""How long the edge waits for a core that starts beside it; then it serves, and says that the core is missing."""
_LATER_THAN_CORE = 0.5
"""How much longer the edge waits than the core, whose last answers it passes on."""


class EdgeProcess:
    """One edge. `descriptor` is a listening socket, `core` where the core is."""

    def __init__(self, settings: Settings, *, descriptor: int, core: str) -> None:
        self._settings = settings
        self._descriptor = descriptor
        self._core = core

    async def serve(self, ready: Ready, stop: asyncio.Event) -> None:
        """Serves until `stop`; then refuses new turns, lets the ones in flight finish, and ends."""
        app = self._app()
        await self._core_listens(stop)
        listener = socket(fileno=self._descriptor)
        server = _Server(self._config(app), ready)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            app.state.drain()
            if not await self._in_flight_done(server):
                # closing the app answers what is still pending; uvicorn alone would cut it off
                await server.lifespan.shutdown()
            server.should_exit = True
        stopping.cancel()
        await serving
        if not stop.is_set():
            raise CannotStart("the edge could not start; the log says why", code=1)

    async def _core_listens(self, stop: asyncio.Event) -> None:
        """Beside a core that starts at the same time, waits for it a little, so that ready means that turns run."""
        if not self._core.startswith("unix:"):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not (  # noqa: ASYNC110  # a socket that is not there cannot be waited for
                    stop.is_set() or await _connects(self._core.removeprefix("unix:"))
                ):
                    await asyncio.sleep(_LINGER)

    async def _in_flight_done(self, server: uvicorn.Server) -> bool:
        """Waits until no request is being answered; False when some are after the time for it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout + _LATER_THAN_CORE):
                while server.server_state.tasks:  # noqa: ASYNC110  # uvicorn has no event for it
                    await asyncio.sleep(_LINGER)
        return not server.server_state.tasks

    def _app(self) -> "FastAPI":
        settings = self._settings
        log = set_up_log("edge", settings)
        keys = key_ring(settings)
        rate = split_rate(settings.rate_limit)
        options = EdgeOptions(
            version=VERSION,
            core=CoreOptions(
                target=self._core,
                key=settings.core_key.get_secret_value() if settings.core_key else None,
                tls=_core_tls(settings),
                turn_timeout=settings.turn_timeout,
                session_wait=settings.session_wait,
                # the core decides whose turn is too many; this only bounds what piles up before it
                max_pending=2 * (settings.max_in_flight + settings.max_queued),
            ),
            http=HttpOptions(
                max_body_bytes=settings.max_body,
                rate_limit=rate[0] / rate[1] if rate else None,
                tool_trace=settings.tool_trace,
                session_headers=settings.session_headers,
                transcript_headers=settings.transcript_headers,
                stream_ping=settings.stream_ping,
                cors_origins=settings.cors_origins,
                loopback_only=keys is None,
            ),
            log=LogOptions(
                stream=log.stream, format=log.format, bodies=settings.log_bodies, redact=settings.log_redact
            ),
        )
        return create_app(options, keys.authenticate if keys else None)

    def _config(self, app: "FastAPI") -> uvicorn.Config:
        settings = self._settings
        config = uvicorn.Config(
            app,
            loop="none",  # it runs in the loop that is there
            http=HttpProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=list(settings.proxies),
            timeout_graceful_shutdown=1,
            backlog=2048,
            timeout_keep_alive=_KEEP_ALIVE,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        return config


class _Server(uvicorn.Server):
    """Signals are the process's business, and it says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Ready) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready({"http_port": sockets[0].getsockname()[1]} if sockets else {})


async def _connects(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def _core_tls(settings: Settings) -> CoreTls | None:
    if settings.core_tls_ca is None:
        return None
    return CoreTls(
        ca=settings.core_tls_ca.read_bytes(),
        certificate=_bytes(settings.core_tls_cert),
        key=_bytes(settings.core_tls_key),
    )


def _bytes(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
