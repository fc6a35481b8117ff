"""How many requests a key may make (SEC-04)."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

Header = tuple[bytes, bytes]


class Allowance(NamedTuple):
    """What became of one request."""

    limit: int
    """Requests a second."""
    remaining: int
    """Requests that would pass right now."""
    reset: float
    """Seconds until the whole burst is there again."""
    retry_after: float | None
    """Seconds until one request passes; None when this one did."""

    def headers(self) -> list[Header]:
        """OpenAI's names."""
        return [
            (b"x-ratelimit-limit-requests", b"%d" % self.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % self.remaining),
            (b"x-ratelimit-reset-requests", b"%dms" % (self.reset * 1000 + 1)),
        ]


class RateLimiter(Protocol):
    """Counts requests, in this process or in a store that replicas share."""

    async def take(self, key: str) -> Allowance:
        """Counts one request of `key`, unless there is no room for it."""
        ...


class LocalRateLimiter:
    """The generic cell rate algorithm: one number a key, a burst of one second's worth, no window to reset."""

    MAX_KEYS = 10_000

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._burst = max(1.0, per_second) * self._interval
        self._limit = max(1, math.floor(per_second))
        self._clock = clock
        self._full_at: dict[str, float] = {}

    async def take(self, key: str) -> Allowance:
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        room = self._burst - (full_at - now)
        if room < self._interval - 1e-9:
            return Allowance(self._limit, 0, full_at - now, self._interval - room)
        full_at += self._interval
        if key not in self._full_at and len(self._full_at) >= self.MAX_KEYS:
            self._forget(now)
        self._full_at[key] = full_at
        return Allowance(self._limit, int((room - self._interval) / self._interval + 1e-9), full_at - now, None)

    def _forget(self, now: float) -> None:
        """Drops the keys whose burst is whole; if that is none, the one that will be first."""
        kept = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(kept) >= self.MAX_KEYS:
            del kept[min(kept, key=kept.__getitem__)]
        self._full_at = kept
