"""What the composition root decides about an edge. Nothing here reads the environment."""

from dataclasses import dataclass, field
from typing import BinaryIO, Literal

ToolTrace = Literal["message", "metadata"]
"""Where a reply shows its tool calls (CHAT-19)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreTls:
    """What mutual TLS to the core needs, all PEM (SEC-03)."""

    ca: bytes
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None
    """The name in the core's certificate, where it is not the one dialled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreOptions:
    """Where the core is and how long it is given."""

    target: str
    """`unix:/path` or `host:port`."""
    key: str | None = None
    """Presented as a bearer token; a core on a Unix socket or behind mutual TLS needs none (SEC-02)."""
    tls: CoreTls | None = None
    turn_timeout: float = 60.0
    """The core's own deadline for a turn, seconds. The edge gives up later than the core does: only if the core is gone."""
    session_wait: float = 30.0
    """How long the core lets a turn wait for its session, seconds."""
    max_pending: int = 4096
    """Turns this edge holds for the core at once; beyond them 503 at once (SEC-05)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How requests are received."""

    max_body_bytes: int = 1024 * 1024
    rate_limit: float | None = 200.0
    """Requests per second and key, or per client address without keys; the burst is one second's worth. None: off."""
    tool_trace: ToolTrace = "message"
    session_headers: tuple[str, ...] = ()
    """Headers that name the session where body and `X-Session-Id` do not (CHAT-03)."""
    transcript_headers: tuple[str, ...] = ()
    """The same, of clients that send the whole conversation with every request."""
    stream_ping: float = 15.0
    """Seconds without an event after which a stream gets a comment (STREAM-06)."""
    cors_origins: tuple[str, ...] = ()
    loopback_only: bool = False
    """Set when no key is configured: a `Host` that is not this machine gets 401 (SEC-02)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Where the request log goes (SEC-06)."""

    stream: BinaryIO
    format: Literal["json", "console"] = "json"
    bodies: bool = False
    """Log request and response bodies too."""
    redact: tuple[str, ...] = ()
    """Names of JSON fields whose values are never logged, beside the ones that always are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """Everything `create_app` needs to know."""

    core: CoreOptions
    version: str
    http: HttpOptions = field(default_factory=HttpOptions)
    log: LogOptions | None = None
    """None: no request log."""
    health_interval: float = 1.0
    """Seconds between two looks at the core for `/health`."""
