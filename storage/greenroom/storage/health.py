"""Whether the database can be read and written now."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from greenroom.core.errors import StoreUnavailable
from greenroom.storage.faults import driver_error
from greenroom.storage.tables import probes

FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0
_SLOW_SECONDS = 1.0
# As large as an ordinary turn with its indexes, so that a full disk is seen here before a turn sees it.
_PROBE = bytes(16 * 1024)


@dataclass(frozen=True, slots=True)
class Health:
    """A `StoreHealth`."""

    status: Literal["healthy", "degraded", "unhealthy"]
    detail: str = ""


class Pulse:
    """How reading and writing went last, as their threads tell it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written_at = float("-inf")
        self._failure = ""
        self._failing = False
        self._changes = 0

    def written(self) -> None:
        self._written_at = time.monotonic()
        if self._failing:
            with self._lock:
                self._failing = False
                self._changes += 1

    def failed(self, error: BaseException) -> None:
        original = driver_error(error)
        with self._lock:
            self._failure = f"{type(original).__name__}: {original}"
            self._failing = True
            self._changes += 1

    @property
    def changes(self) -> int:
        """Grows whenever things turn bad, or good again."""
        return self._changes

    def is_beating(self) -> bool:
        """A write succeeded a moment ago, and nothing has failed since."""
        return not self._failing and time.monotonic() - self._written_at < FRESH_SECONDS

    def last_failure(self) -> str:
        with self._lock:
            return self._failure


def probe(connection: sa.Connection) -> None:
    """A write that leaves nothing behind."""
    connection.execute(probes.insert().values(body=_PROBE))
    connection.execute(probes.delete())


async def examine(work: asyncio.Future[None], pulse: Pulse) -> Health:
    """Waits for a probe that was submitted; one that takes too long is left to itself."""
    started = time.monotonic()
    try:
        await asyncio.wait_for(asyncio.shield(work), _PATIENCE_SECONDS)
    except StoreUnavailable as error:
        return Health("unhealthy", f"{error.message}: {pulse.last_failure()}")
    except TimeoutError:
        return Health("unhealthy", f"no answer within {_PATIENCE_SECONDS:g} s")
    taken = time.monotonic() - started
    if taken > _SLOW_SECONDS:
        return Health("degraded", f"answered after {taken:.1f} s")
    return Health("healthy")
