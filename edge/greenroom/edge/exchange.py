"""One request and its response, from the first byte to the log line."""

import time
from typing import TYPE_CHECKING, Any

from greenroom.edge.codec import tools_used
from greenroom.edge.identifiers import sane_request_id, traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

    from greenroom.edge.principal import Principal
    from greenroom.v1.turn_pb2 import Reply

SCOPE_KEY = "greenroom.exchange"
Header = tuple[bytes, bytes]


class Exchange:
    """Filled as the request goes its way: by the gate, by its route, and by what is sent."""

    __slots__ = (
        "headers",
        "key_name",
        "method",
        "namespace",
        "out_headers",
        "path",
        "received",
        "request_body",
        "request_id",
        "response_body",
        "route",
        "scopes",
        "sent",
        "session_id",
        "started",
        "status",
        "tool_trace",
        "tools",
        "traceparent",
        "turn",
        "user_id",
    )

    def __init__(self, scope: "Scope", mint: "Callable[[], str]") -> None:
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = sane_request_id(self.headers.get(b"x-request-id"))
        self.request_id = mint() if given is None else given.decode("ascii")
        self.traceparent = traceparent(self.headers.get(b"traceparent"))
        self.out_headers: list[Header] = [(b"x-request-id", self.request_id.encode())]
        if self.traceparent:
            self.out_headers.append((b"traceparent", self.traceparent.encode()))
        self.route = ""
        self.status = 0
        self.received = 0
        self.sent = 0
        self.key_name = ""
        self.namespace = ""
        self.scopes: frozenset[str] | None = None
        """Of the caller's key; None: no key is needed here."""
        self.tool_trace: str | None = None
        self.session_id = ""
        self.user_id = ""
        self.turn = 0
        self.tools: list[str] = []
        self.request_body: bytes | None = None
        self.response_body: list[bytes] | None = None

    def belongs_to(self, principal: "Principal") -> None:
        """Names the caller, once the key is known."""
        self.key_name = principal.name
        self.namespace = principal.namespace
        self.scopes = principal.scopes
        self.tool_trace = principal.tool_trace

    def answered_by(self, reply: "Reply") -> None:
        """Names the turn, for the log line (SEC-06)."""
        self.session_id = reply.session_id
        self.user_id = reply.user_id
        self.turn = reply.number
        if reply.tool_calls:
            self.tools = tools_used(reply)


def exchange_of(scope: "Any") -> Exchange:
    """The exchange that the gate opened for an ASGI scope."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange
