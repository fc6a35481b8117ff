"""The core's process: its agents, their store and the gRPC server around them."""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from greenroom.cli.assembly import assemble
from greenroom.cli.exposure import shown
from greenroom.cli.failures import places, start_text
from greenroom.cli.metrics import serve_metrics
from greenroom.cli.process import CannotStart, Ready, on_hangup
from greenroom.cli.scenarios import Reloads
from greenroom.cli.settings import Settings
from greenroom.cli.setup import key_ring, secrets_in, set_up_log
from greenroom.core.agent import AgentError
from greenroom.core.core import Core
from greenroom.core.errors import NotLoaded, StoreUnavailable
from greenroom.core.ports import Store
from greenroom.core.redaction import DocumentRedactor, secrets_of
from greenroom.core.rpc.server import CannotListen, CoreServer, Listeners, MutualTls
from greenroom.core.rpc.stand_in import StandIn
from greenroom.storage import open_store

if TYPE_CHECKING:
    from greenroom.cli.tracing import Tracing

logger = logging.getLogger(__name__)

_SAID = 300
"""Characters: a message has room for 500."""
_PLACE = re.compile(r"^  ([^:\n]+):(\d+)", re.MULTILINE)
_PRUNE_SECONDS = (1.0, 3600.0)
"""Least and longest pause between two looks for sessions past their time."""


class CoreProcess:
    """One core. It listens on the settings' TCP address, and on `unix_socket` when there is one. One that is `patient`, and
    cannot start, tells callers on the socket why."""

    def __init__(self, settings: Settings, *, unix_socket: Path | None, patient: bool = False) -> None:
        self._settings = settings
        self._unix_socket = unix_socket
        self._patient = patient

    async def serve(self, ready: Ready, stop: asyncio.Event) -> None:
        """Serves until `stop`; then refuses new turns, lets the ones in flight finish, and ends."""
        try:
            await self._serve(ready, stop)
        except CannotStart as problem:
            if self._unix_socket is None or not self._patient:
                raise
            logger.error("the core cannot start, it waits for a change of a file: %s", problem)
            hidden = DocumentRedactor([*secrets_in(self._settings), *secrets_of(os.environ)], self._settings.log_redact)
            stand_in = StandIn(NotLoaded(hidden.text(_told(str(problem)))))
            await stand_in.start(str(self._unix_socket))
            await stop.wait()
            await stand_in.stop()

    async def _serve(self, ready: Ready, stop: asyncio.Event) -> None:
        settings = self._settings
        log = set_up_log("core", settings)
        keys = key_ring(settings)
        tracing = _tracing() if settings.otel else None
        store = self._store()
        core = assemble(settings, store, tracing)
        server = CoreServer(
            core,
            self._listeners(),
            keys=keys.authenticate if keys else None,
            turn_log=log.stream if log.format == "json" else None,
        )
        await self._start(server)
        if tracing is not None:
            tracing.share()
        addresses = {"grpc": shown(settings.grpc_host, server.port or 0), "grpc_port": server.port}
        async with contextlib.AsyncExitStack() as stack:
            if settings.retain is not None:
                await stack.enter_async_context(_pruning(core, settings.retain))
            if settings.metrics_port is not None:
                metrics = stack.enter_context(
                    serve_metrics(settings.metrics_host, settings.metrics_port, server.meters.registry, keys)
                )
                addresses |= {"metrics": f"http://{metrics}/metrics", "metrics_port": int(metrics.rpartition(":")[2])}
            on_hangup(Reloads(core).ask)
            ready(addresses)
            await stop.wait()
            await server.drain(settings.drain_timeout)
        await server.stop()
        if tracing is not None:
            tracing.stop()

    async def _start(self, server: CoreServer) -> None:
        try:
            await server.start()
        except StoreUnavailable as problem:
            raise CannotStart(problem.message, code=1) from None
        except AgentError as problem:
            raise CannotStart(start_text(problem)) from None
        except CannotListen as problem:
            raise CannotStart(f"grpc_port: {problem}; choose another port, or 0 for any free one") from None
        except Exception as problem:  # an author's start-up function may raise anything
            if not places(problem):
                logger.exception("starting the core failed")
            raise CannotStart(start_text(problem), code=1) from None

    def _store(self) -> Store:
        try:
            return open_store(self._settings.database_url.get_secret_value())
        except ValueError as problem:
            raise CannotStart(f"database_url: {problem}") from None

    def _listeners(self) -> Listeners:
        settings = self._settings
        if self._unix_socket is not None and not os.access(self._unix_socket.parent, os.W_OK):
            raise CannotStart(f"grpc_socket: the folder of {self._unix_socket} cannot be written to")
        tls = None
        if settings.grpc_tls_cert and settings.grpc_tls_key and settings.grpc_tls_ca:
            tls = MutualTls(
                key=settings.grpc_tls_key.read_bytes(),
                certificates=settings.grpc_tls_cert.read_bytes(),
                client_authority=settings.grpc_tls_ca.read_bytes(),
            )
        return Listeners(
            unix_path=str(self._unix_socket) if self._unix_socket else None,
            host=settings.grpc_host,
            port=settings.grpc_port,
            tls=tls,
        )


def _told(problem: str) -> str:
    """In a line, with the innermost place: an author's code stays out of answers."""
    said = problem.partition("\n")[0][:_SAID]
    places: list[tuple[str, str]] = _PLACE.findall(problem)
    where = f" ({places[-1][0]}, line {places[-1][1]})" if places else ""
    return f"The agent cannot be started: {said}{where}. It is started again when a file changes."


def _tracing() -> "Tracing":
    try:
        from greenroom.cli.tracing import start_tracing  # noqa: PLC0415  # an optional extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise CannotStart("otel: OpenTelemetry is not installed; pip install 'greenroom[otel]'") from None
    return start_tracing()


@contextlib.asynccontextmanager
async def _pruning(core: Core, retain: float) -> AsyncIterator[None]:
    """Drops sessions that have been idle for longer than `retain` seconds, as long as the context lasts."""
    shortest, longest = _PRUNE_SECONDS

    async def prune() -> None:
        while True:
            try:
                if gone := await core.sessions.prune(retain):
                    logger.info("dropped %d sessions that had been idle for too long", gone)
            except StoreUnavailable as problem:
                logger.warning("cannot drop idle sessions now: %s", problem.message)
            await asyncio.sleep(min(longest, max(shortest, retain / 10)))

    task = asyncio.create_task(prune())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
