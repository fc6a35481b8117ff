"""Connections to HTTP servers that agents and their tools ask."""

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

from greenroom.sdk import AgentError
from greenroom.tools.extras import import_extra

_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 4.0
"""Connections are kept for less than servers commonly keep theirs (five): who hangs up first sees no fault in it."""
_KEPT = 100


def http_client(name: str, headers: Mapping[bytes, bytes], most: int | None = None) -> Any:
    """A pool of connections (`most` at once), of httpx2; nothing is connected yet. It follows no redirects, and time is bounded
    by whoever asks. `name` is the server's, for errors; `headers` are those of `encoded`. Raises `AgentError`."""
    httpx2 = import_extra("httpx2", "http")
    try:
        return httpx2.AsyncClient(
            headers=headers,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # they would be all sessions' together
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=_KEPT, keepalive_expiry=_IDLE_SECONDS),
            follow_redirects=False,
        )
    except (ImportError, ValueError) as problem:
        raise AgentError(f"{name} cannot be asked by the environment's proxy: {problem}") from None
