"""SQLite: one file, one process that writes to it."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from greenroom.storage.bulk import Bulk, many_at_once
from greenroom.storage.database import Database, close_quietly
from greenroom.storage.faults import DatabaseRefused, Fault
from greenroom.storage.location import Location
from greenroom.storage.migrating import check_revision, migrate
from greenroom.storage.ownership import Ownership

_PAGE_CACHE_KIB = 16_384
# 16 MiB: a page that many turns write to is copied to the file once in a while, not all the time.
_CHECKPOINT_PAGES = 4096
_NO_BATCH = nullcontext()
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SqliteDatabase(Database):
    """Besides opening the file it watches that the file stays the one it opened.

    A file that was removed, replaced or damaged under us is not written to: all connections are closed first, then the
    file that stands there now is checked and opened.
    """

    def __init__(self, location: Location, *, read_only: bool, busy_seconds: float) -> None:
        super().__init__(location.name, exclusive=not read_only, mark="?")
        assert location.file is not None
        self._file: Path = location.file
        self._path = str(location.file)
        self._read_only = read_only
        self._busy_seconds = busy_seconds
        self._ownership = Ownership(location.file)
        self._identity: tuple[int, int] | None = None
        self._log_identity: tuple[int, int] | None = None
        self._suspect = False
        self._damage: tuple[int, ...] | None = None
        self._writing = self._engine("rwc", "BEGIN IMMEDIATE")
        self._reading = self._engine("rw", "BEGIN")

    def fault(self, error: BaseException) -> Fault:
        if not isinstance(error, sqlite3.Error):
            return Fault.BAD
        # The code is absent on what the module itself raises, such as misuse.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return Fault.FULL
        if code in _CORRUPT:
            return Fault.CORRUPT
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
            return Fault.AWAY
        return Fault.BAD

    def is_integrity(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.IntegrityError)

    def acquire(self) -> None:
        if self._read_only:
            return
        if not self._file.parent.is_dir():
            raise DatabaseRefused(f"the folder of the {self.name} does not exist")
        self._ownership.take()

    def release(self) -> None:
        self._ownership.release()

    def connect(self, *, write: bool) -> sa.Connection:
        if write:
            return self._open_to_write()
        if self._suspect or self._damage is not None:
            raise DatabaseRefused(f"{self.name} is damaged or was replaced")
        if not self._file.exists():
            raise DatabaseRefused(f"{self.name} does not exist")
        connection = self._reading.connect()
        if self._read_only:
            with connection.begin():
                check_revision(connection, self.name)
        return connection

    def _open_to_write(self) -> sa.Connection:
        if self._identity is not None and not self._file.exists():
            raise DatabaseRefused(f"{self.name} is gone")
        if self._damage is not None and self._damage == self._signature():
            raise DatabaseRefused(f"{self.name} is damaged: put a good copy in its place")
        if self._identity is not None:
            self._let_go()
        connection = self._writing.connect()
        try:
            if self._damage is not None:
                self._check(connection)
            migrate(connection, self.name)
        except BaseException:
            close_quietly(connection)
            raise
        self._identity = _identity(self._path)
        self._log_identity = _identity(self._path + "-wal")
        self._suspect = False
        self._damage = None
        return connection

    def _let_go(self) -> None:
        """Leaves nothing of a file that was replaced: its `-wal` would be taken for the new file's, and spoil it."""
        replaced = _identity(self._path) != self._identity
        if replaced or self._suspect or self._damage is not None:
            self._suspect = True
            self.close_links(write=False)
        log = self._path + "-wal"
        if replaced and _identity(log) == self._log_identity is not None:
            # It may hold turns that the old file does not: kept for whoever put that one elsewhere.
            os.replace(log, log + ".replaced")
            Path(self._path + "-shm").unlink(missing_ok=True)

    def _check(self, connection: sa.Connection) -> None:
        with connection.begin():
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            raise DatabaseRefused(f"{self.name} is damaged: {found}")

    def verify(self) -> None:
        if self._damage is not None:
            raise DatabaseRefused(f"{self.name} is damaged")
        if self._suspect or _identity(self._path) != self._identity:
            self._suspect = True
            raise DatabaseRefused(f"{self.name} is gone or was replaced")

    def bulk_insert(self, table: str, columns: Sequence[str], after: str = "") -> Bulk:
        row = f"({', '.join('?' * len(columns))})"
        return many_at_once(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ", row, after)

    def bulk_update(self, table: str, columns: Sequence[str], where: Sequence[str]) -> Bulk:
        # SQLite calls the columns of VALUES column1, column2, …
        sets = ", ".join(f"{name} = v.column{number}" for number, name in enumerate(columns, 1))
        first = len(columns) + 1
        which = " AND ".join(f"{table}.{name} = v.column{number}" for number, name in enumerate(where, first))
        row = f"({', '.join('?' * len((*columns, *where)))})"
        return many_at_once(f"UPDATE {table} SET {sets} FROM (VALUES ", row, f") AS v WHERE {which}")

    def batch(self, connection: sa.Connection) -> AbstractContextManager[None]:
        return _NO_BATCH

    def inspect(self, connection: sa.Connection) -> None:
        """On a connection of its own: pages that `connection` keeps in memory would hide a damaged file."""
        if not self._read_only:
            self.verify()
        fresh = self._reading.connect()
        try:
            with fresh.begin():
                fresh.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
                fresh.exec_driver_sql("SELECT key FROM sessions ORDER BY key DESC LIMIT 1").scalar()
        finally:
            close_quietly(fresh)

    def is_lost(self, connection: sa.Connection) -> bool:
        """Only for being another file: a database that is locked or full is so for a new connection too."""
        return self._suspect and self._damage is None

    def damaged(self) -> None:
        self._damage = self._signature()

    def _signature(self) -> tuple[int, ...]:
        try:
            status = os.stat(self._path)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def token(self, connection: sa.Connection) -> object:
        return None

    def settle(self, connection: sa.Connection, token: object) -> None:
        """A COMMIT that failed here did not happen: there is no other side."""

    def _engine(self, mode: str, begin: str) -> sa.Engine:
        def open_file() -> sqlite3.Connection:
            # Transactions begin and end where SQLAlchemy says, not where the driver guesses.
            return sqlite3.connect(
                f"file:{quote(self._path)}?mode={mode}",
                uri=True,
                isolation_level=None,
                timeout=self._busy_seconds,
                check_same_thread=False,
            )

        engine = sa.create_engine("sqlite://", creator=open_file, poolclass=sa.NullPool)

        @event.listens_for(engine, "connect")
        def set_pragmas(connection: sqlite3.Connection, record: Any) -> None:
            if self._read_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: sa.Connection) -> None:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute(begin)

        return engine


def _identity(path: str) -> tuple[int, int] | None:
    """Which file has this name; None: no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
