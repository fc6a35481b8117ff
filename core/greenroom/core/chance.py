"""Time, chance and ids that belong to a turn: the same on every run of the same turn, never taken from the machine."""

import hashlib
import random
from datetime import UTC, datetime, timedelta

STORY_START = datetime(2024, 1, 21, 10, 30, tzinfo=UTC)
"""When a world's story begins, unless its agent says otherwise."""


class Clock:
    """The world's time. It advances a minute a turn and a second a tool call, never by wall time."""

    __slots__ = ("_now",)

    def __init__(self, start: datetime, turns_before: int) -> None:
        self._now = start + timedelta(minutes=turns_before)

    def now(self) -> datetime:
        """The current moment in the world, timezone-aware."""
        return self._now

    def today(self) -> str:
        """The current date in the world, ISO 8601."""
        return self._now.date().isoformat()

    def tick(self) -> None:
        """One tool call has passed."""
        self._now += timedelta(seconds=1)


class Ids:
    """Ids that look random and are the same on every run: `ids.new("refund")` → "refund_5f0c…"."""

    __slots__ = ("_count", "_seed")

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def new(self, prefix: str) -> str:
        """A fresh id with this prefix and 24 hex digits."""
        self._count += 1
        digest = hashlib.blake2b(self._count.to_bytes(4, "big"), key=self._seed, digest_size=12)
        return f"{prefix}_{digest.hexdigest()}"


def turn_seed(*parts: bytes) -> bytes:
    """32 bytes from what decides a turn: scenario, session id, the path to it and its input."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


def turn_random(seed: bytes) -> random.Random:
    """A generator of the turn's own."""
    return random.Random(seed)
