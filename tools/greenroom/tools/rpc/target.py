"""Where a process is that agents or tools ask over gRPC: `grpc://host:port`, `grpcs://host:port` with TLS; a path names one of
several agents there."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import grpc

from greenroom.sdk import AgentError

_OPTIONS: list[tuple[str, int]] = [
    # answers of many turns may come in one message
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # an agent that comes back is found within a second or two
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # What is sent and not acknowledged for 20 s ends the connection. Servers refuse pings that come more often than these.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # another agent's failing connection is none of this one's
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True)
class Target:
    """One address, with what is needed to be let in."""

    url: str
    address: str
    agent: str
    """Which of the agents there; "" for the default one."""
    metadata: tuple[tuple[str, str], ...]
    credentials: grpc.ChannelCredentials | None

    def channel(self) -> grpc.aio.Channel:
        """A channel that connects when it is used, and again whenever it has lost its connection."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        return grpc.aio.secure_channel(self.address, self.credentials, options=_OPTIONS)


def read_target(url: str, key_env: str, authority: str | Path | None) -> Target:
    """`key_env` names the environment variable with the key that is sent as bearer token, `authority` a PEM file with whom
    to trust instead of the authorities that gRPC knows. Raises `AgentError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("grpc", "grpcs") or not _has_port(parts) or parts.query or parts.fragment:
        raise AgentError(f"{url}: a process is asked at grpc://host:port, or at grpcs://host:port with TLS")
    if "@" in parts.netloc:
        raise AgentError(f"a key does not belong into an address ({parts.hostname}): name its variable with key_env")
    if authority is not None and parts.scheme == "grpc":
        raise AgentError(f"{url}: an authority is for grpcs://, this connection has no TLS")
    metadata: tuple[tuple[str, str], ...] = ()
    if key_env:
        key = os.environ.get(key_env, "")
        if not key:
            raise AgentError(f"{url}: the environment variable {key_env} is not set; it holds the key")
        metadata = (("authorization", f"Bearer {key}"),)
    credentials = _credentials(authority) if parts.scheme == "grpcs" else None
    return Target(url, parts.netloc, parts.path.strip("/"), metadata, credentials)


def _has_port(parts: SplitResult) -> bool:
    try:
        return bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False


def _credentials(authority: str | Path | None) -> grpc.ChannelCredentials:
    if authority is None:
        return grpc.ssl_channel_credentials()
    try:
        return grpc.ssl_channel_credentials(Path(authority).read_bytes())
    except OSError as problem:
        raise AgentError(f"cannot read the authority {authority}: {problem.strerror}") from None
