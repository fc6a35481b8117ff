"""Time, chance and ids that belong to a turn: the same on every run of the same turn, never taken from the machine."""

import hashlib
import random
from datetime import UTC, datetime, timedelta

STORY_START = datetime(2024, 1, 21, 10, 30, tzinfo=UTC)
"""When a world's story begins, unless its agent says otherwise."""


_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)


class Clock:
    """The world's time. Unless its scenario says otherwise it advances a minute a turn and a second a tool call, never by
    wall time."""

    __slots__ = ("_calls", "_per_call", "_per_turn", "_real", "_start", "_turns")

    def __init__(
        self,
        start: datetime,
        turns_before: int,
        per_turn: timedelta = _MINUTE,
        per_call: timedelta = _SECOND,
        *,
        real: bool = False,
    ) -> None:
        self._start = start
        self._turns = turns_before
        self._per_turn = per_turn
        self._per_call = per_call
        self._real = real
        self._calls = 0

    def now(self) -> datetime:
        """The current moment in the world, timezone-aware."""
        if self._real:
            return datetime.now(UTC)
        return self._start + self._turns * self._per_turn + self._calls * self._per_call

    def today(self) -> str:
        """The current date in the world, ISO 8601."""
        return self.now().date().isoformat()

    def tick(self) -> None:
        """One tool call has passed."""
        self._calls += 1


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


def turn_seed(scenario: str, session_id: str, path_hash: bytes, said: str) -> bytes:
    """32 bytes from what decides a turn: scenario, session id, the path to it and its input."""
    text = f"{scenario}\x00{session_id}\x00{said}".encode(errors="replace")
    return hashlib.blake2b(text, key=path_hash, digest_size=32).digest()


def turn_random(seed: bytes) -> random.Random:
    """A generator of the turn's own."""
    return random.Random(seed)
