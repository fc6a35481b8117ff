"""Chat requests that this edge has refused, so that a retry is not taken for that of an earlier, equal message (CHAT-15).

A user may say "yes" twice. If the second one is refused here, no core knows of it, and its retry looks like one of the
first, which was answered. So the retry says since when it has been trying.
"""

import time
from collections.abc import Callable
from hashlib import blake2b

from starlette.types import Receive

from greenroom.edge.access import CHAT_PATH
from greenroom.edge.body import read_small
from greenroom.edge.exchange import Exchange
from greenroom.edge.identifiers import retry_count

MAX_REFUSALS = 10_000
MAX_AGE = 600.0
"""Seconds; clients have given up by then."""
MAX_BODY_BYTES = 64 * 1024


class Refusals:
    """When each was refused for the first time, by what the request says. Bounded in number, size and time."""

    def __init__(self, session_headers: tuple[str, ...] = (), clock: Callable[[], float] = time.time) -> None:
        self._headers = (b"x-session-id", *(name.lower().encode("latin-1") for name in session_headers))
        self._clock = clock
        self._at: dict[bytes, float] = {}
        """Seconds since 1970, oldest first."""

    async def note(self, exchange: Exchange, receive: Receive) -> None:
        """Remembers a request that is being refused. What is no first attempt at a turn is left as it is."""
        if (exchange.method, exchange.path) != ("POST", CHAT_PATH) or _count(exchange):
            return
        body = exchange.request_body
        if body is None:
            body = await read_small(receive, exchange, MAX_BODY_BYTES)
        if body is None or len(body) > MAX_BODY_BYTES:
            return
        now = self._clock()
        self._forget(now)
        if len(self._at) >= MAX_REFUSALS:
            del self._at[next(iter(self._at))]
        digest = self._digest(exchange, body)
        self._at.pop(digest, None)
        self._at[digest] = now

    def first(self, exchange: Exchange, body: bytes, count: int) -> int:
        """For the `count`-th retry: when its first attempt was refused, in microseconds since 1970; 0 where it was not.

        A request that is no retry is a new message: what was refused before it is over.
        """
        if not self._at or len(body) > MAX_BODY_BYTES:
            return 0
        self._forget(self._clock())
        digest = self._digest(exchange, body)
        if not count:
            self._at.pop(digest, None)
            return 0
        return int(self._at.get(digest, 0.0) * 1_000_000)

    def _digest(self, exchange: Exchange, body: bytes) -> bytes:
        parts = [exchange.key_name.encode(), *(exchange.headers.get(name, b"") for name in self._headers), body]
        return blake2b(b"\0".join(parts), digest_size=16).digest()

    def _forget(self, now: float) -> None:
        while self._at:
            digest, at = next(iter(self._at.items()))
            if at > now - MAX_AGE:
                return
            del self._at[digest]


def _count(exchange: Exchange) -> int:
    return retry_count(exchange.headers.get(b"x-stainless-retry-count"))
