"""From a URL to a store."""

import time
from collections.abc import Callable

from greenroom.storage.database import Database
from greenroom.storage.location import Location, parse_location
from greenroom.storage.sqlite import SqliteDatabase
from greenroom.storage.store import SqlStore

_READERS = {"sqlite": 2, "postgresql": 4}


def open_store(
    url: str, *, read_only: bool = False, wait_seconds: float = 5.0, clock: Callable[[], float] = time.time
) -> SqlStore:
    """A store for `sqlite:///file.db` or `postgresql://user:password@host/database`, not started yet.

    Raises ValueError for any other URL, with what would be right. `start()` migrates the database; on SQLite it also claims
    the file, and raises StoreUnavailable when another process has it. `read_only` does neither: it is for looking at a
    database that a server may be using, and refuses one whose schema is not this version's. `wait_seconds` bounds how long
    a write waits for a lock that somebody else holds, and how long connecting may take. `clock` gives seconds since 1970.
    """
    location = parse_location(url)
    database = _database(location, read_only, wait_seconds)
    return SqlStore(database, read_only=read_only, readers=_READERS[location.kind], clock=clock)


def _database(location: Location, read_only: bool, wait_seconds: float) -> Database:
    if location.kind == "sqlite":
        return SqliteDatabase(location, read_only=read_only, busy_seconds=wait_seconds)
    try:
        # its driver comes with the extra `postgres`, and takes a tenth of a second that SQLite's users need not wait
        from greenroom.storage.postgres import PostgresDatabase  # noqa: PLC0415
    except ImportError:
        raise ValueError("PostgreSQL needs its driver: pip install 'greenroom[postgres]'") from None
    return PostgresDatabase(location, read_only=read_only, wait_seconds=wait_seconds)
