"""The core's gRPC server: its listeners, its services, and how it stops."""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from greenroom.core.core import Core
from greenroom.core.rpc.agent_service import AgentService
from greenroom.core.rpc.callers import Authenticate
from greenroom.core.rpc.health import SERVICES, HealthService
from greenroom.core.rpc.interceptors import Door
from greenroom.core.rpc.meters import Meters
from greenroom.core.rpc.session_service import SessionService
from greenroom.core.rpc.tool_service import ToolService
from greenroom.core.rpc.turn_log import TurnLog
from greenroom.core.rpc.turn_runner import TurnRunner
from greenroom.core.rpc.user_service import UserService
from greenroom.core.rpc.watchdog import Watchdog
from greenroom.v1 import agent_pb2_grpc, session_pb2_grpc, tool_pb2_grpc, user_pb2_grpc

_log = logging.getLogger(__name__)

_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MutualTls:
    """PEM: the server's key and certificates, and the authority whose clients it lets in."""

    key: bytes
    certificates: bytes
    client_authority: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Where a core listens. `unix_path` gets mode 0600; `port` 0 picks a free one; `port` None: no TCP."""

    unix_path: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    tls: MutualTls | None = None


class CannotListen(OSError):
    """An address is taken, or not this machine's."""


class CoreServer:
    """One core behind gRPC."""

    def __init__(
        self,
        core: Core,
        listeners: Listeners,
        *,
        keys: Authenticate | None = None,
        turn_log: BinaryIO | None = None,
        meters: Meters | None = None,
    ) -> None:
        self._core = core
        self._listeners = listeners
        self._keys = keys
        self._log = TurnLog(turn_log)
        self.meters = meters or Meters()
        self.meters.running.set_function(lambda: core.turns.capacity.running)
        self._server: grpc.aio.Server | None = None
        self._runner: TurnRunner | None = None
        self._watchdog = Watchdog()
        self.port: int | None = None
        """The TCP port, once started."""

    async def start(self) -> None:
        """Starts the core and listens. Raises `StoreUnavailable`, or `CannotListen`."""
        await self._core.start()
        runner = self._runner = TurnRunner(self._core, self.meters, self._log)
        server = self._server = grpc.aio.server(interceptors=[Door(self._keys, self.meters)], options=_OPTIONS)
        agent_pb2_grpc.add_AgentServiceServicer_to_server(AgentService(self._core, runner), server)
        tool_pb2_grpc.add_ToolServiceServicer_to_server(ToolService(self._core), server)
        user_pb2_grpc.add_UserServiceServicer_to_server(UserService(self._core), server)
        session_pb2_grpc.add_SessionServiceServicer_to_server(SessionService(self._core), server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(self._core, runner), server)
        names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        self._listen(server)
        await server.start()
        if self._listeners.unix_path is not None:
            os.chmod(self._listeners.unix_path, 0o600)
        self._watchdog.start()

    def _listen(self, server: grpc.aio.Server) -> None:
        at = self._listeners
        if at.unix_path is not None:
            bind_socket(server, at.unix_path)
        if at.port is not None:
            host = f"[{at.host}]" if ":" in at.host else at.host
            address = f"{host}:{at.port}"
            if at.tls is None:
                self.port = _bind(server, address)
            else:
                credentials = grpc.ssl_server_credentials(
                    [(at.tls.key, at.tls.certificates)], at.tls.client_authority, require_client_auth=True
                )
                self.port = _bind(server, address, credentials)

    async def drain(self, timeout: float) -> bool:
        """Health turns NOT_SERVING, new turns are refused, those in flight finish. False when some were left (GRPC-04)."""
        assert self._runner is not None
        done = await self._runner.drain(timeout)
        if not done:
            _log.warning("turns were still running after %.0f s of draining; they are stopped", timeout)
        return done

    async def stop(self) -> None:
        """Closes the listeners and the core. Drain first."""
        if self._server is not None:
            await asyncio.sleep(0)  # replies of the last tick get onto the wire
            await self._server.stop(grace=0.2)
        self._watchdog.stop()
        self._log.flush()
        await self._core.stop()

    async def wait(self) -> None:
        """Until it is stopped."""
        assert self._server is not None
        await self._server.wait_for_termination()


def bind_socket(server: grpc.aio.Server, path: str) -> None:
    """Only this user may connect, from the first moment on. Raises `CannotListen`."""
    before = os.umask(0o177)
    try:
        _bind(server, f"unix:{path}")
    finally:
        os.umask(before)


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
    """The port. gRPC says in more than one way that an address is taken."""
    try:
        if credentials is not None:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise CannotListen(f"cannot listen on {address}") from None
