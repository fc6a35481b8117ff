"""Who may do what (SEC-01, SEC-02), and how often (SEC-04)."""

import re
from collections.abc import Mapping
from ipaddress import ip_address

from starlette.types import Scope

from greenroom.edge.errors import FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED, EdgeError, Refused
from greenroom.edge.exchange import Exchange
from greenroom.edge.principal import Authenticate
from greenroom.edge.rate_limit import RateLimiter

CHAT, INSPECT = "chat", "inspect"
BY_BODY = "chat or inspect"
"""Opening a session takes `chat`, forking one `inspect`: which of the two it is stands in the body. So a key with either is
let through, and the route calls `require` once it has read the body."""
CHAT_PATH = "/v1/chat/completions"

PUBLIC = frozenset({"/health", "/livez", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
UNLIMITED = PUBLIC | {"/metrics"}

SCOPES: Mapping[tuple[str, str], str] = {
    ("POST", CHAT_PATH): CHAT,
    ("GET", "/v1/models"): CHAT,
    ("GET", "/metrics"): INSPECT,
    ("POST", "/users"): CHAT,
    ("GET", "/users/{user_id}"): INSPECT,
    ("DELETE", "/users/{user_id}"): CHAT,
    ("POST", "/v1/sessions"): BY_BODY,
    ("GET", "/v1/sessions"): INSPECT,
    ("GET", "/v1/sessions/{session_id}"): INSPECT,
    ("DELETE", "/v1/sessions/{session_id}"): CHAT,
    ("GET", "/v1/sessions/{session_id}/turns"): INSPECT,
    ("GET", "/v1/sessions/{session_id}/turns/{number}"): INSPECT,
    ("GET", "/v1/sessions/{session_id}/world"): INSPECT,
    ("POST", "/v1/sessions/{session_id}/close"): CHAT,
    ("GET", "/v1/chats/{chat_id}"): INSPECT,
}
"""The scope that each route needs. A path or method that is not here needs a key and ends as 404 or 405."""

_PATTERNS = tuple(
    (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", template)), scope)
    for (method, template), scope in SCOPES.items()
    if "{" in template
)


class Access:
    """Admits a request or raises 401, 403 or 429."""

    def __init__(self, authenticate: Authenticate | None, limiter: RateLimiter | None, *, loopback_only: bool) -> None:
        self._authenticate = authenticate
        self._limiter = limiter
        self._loopback_only = loopback_only

    async def admit(self, scope: Scope, exchange: Exchange) -> None:
        """Names the caller on `exchange` and counts the request."""
        path = exchange.path
        if path not in PUBLIC:
            if self._authenticate is not None:
                self._check_key(self._authenticate, exchange)
            elif self._loopback_only and not is_loopback(exchange.headers.get(b"host", b"")):
                raise EdgeError(
                    UNAUTHENTICATED,
                    "This server has no API keys, so it answers on this machine only. "
                    "Make one with `greenroom keys create NAME --scope chat` and serve with it.",
                )
        if self._limiter is not None and path not in UNLIMITED:
            client = scope.get("client")
            allowance = await self._limiter.take(exchange.key_name or (client[0] if client else ""))
            exchange.out_headers += allowance.headers()
            if allowance.retry_after is not None:
                raise Refused(RATE_LIMITED, retry_after=allowance.retry_after)

    def _check_key(self, authenticate: Authenticate, exchange: Exchange) -> None:
        token = _token(exchange.headers)
        principal = authenticate(token) if token else None
        if principal is None:
            raise EdgeError(UNAUTHENTICATED)
        exchange.belongs_to(principal)
        needed = _scope_of(exchange.method, exchange.path)
        if needed == BY_BODY and not principal.scopes.isdisjoint({CHAT, INSPECT}):
            return
        if needed is not None:
            require(needed, exchange)


def require(needed: str, exchange: Exchange) -> None:
    """Raises 403 when the caller's key lacks a scope."""
    if exchange.scopes is not None and needed not in exchange.scopes:
        raise EdgeError(FORBIDDEN, f"This key lacks the scope `{needed}`")


def is_loopback(host: bytes) -> bool:
    """Whether a `Host` header names this machine: localhost, 127.0.0.0/8 or ::1, with or without a port."""
    name = host.decode("latin-1").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _scope_of(method: str, path: str) -> str | None:
    exact = SCOPES.get((method, path))
    if exact is not None:
        return exact
    return next((scope for verb, pattern, scope in _PATTERNS if verb == method and pattern.fullmatch(path)), None)


def _token(headers: Mapping[bytes, bytes]) -> str:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":
        token = headers.get(b"x-api-key", b"")
    return token.strip().decode("latin-1")
