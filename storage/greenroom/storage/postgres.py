"""PostgreSQL: any number of processes write to it, and it may be away for a while."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown, TextLoader
from sqlalchemy import event

from greenroom.storage.bulk import Bulk, insert_sql, row_by_row
from greenroom.storage.database import Database, close_quietly
from greenroom.storage.faults import DatabaseRefused, Fault
from greenroom.storage.location import Location
from greenroom.storage.migrating import check_revision, migrate
from greenroom.storage.nul import escape, unescape

_STATEMENT_SECONDS = 30
_FULL = frozenset({"53100", "53200"})
# A lost connection, a server that only reads, a deadlock, resources, a timeout of ours, an operator, its disk.
_AWAY = ("08", "25006", "40", "53", "55P03", "57", "58")
_TOKEN = "greenroom_token"


class _StrDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        return super().dump(escape(obj))


class _StrLoader(TextLoader):
    def load(self, data: Any) -> Any:
        text = super().load(data)
        return unescape(text) if isinstance(text, str) else text


class PostgresDatabase(Database):
    """Nothing waits for ever: connecting, a lock, a statement and a peer that no longer answers all have their time."""

    def __init__(self, location: Location, *, read_only: bool, wait_seconds: float) -> None:
        super().__init__(location.name, exclusive=False, mark="%s", user_lock=" FOR KEY SHARE")
        self._read_only = read_only
        self._wait_seconds = wait_seconds
        self._writing = self._engine(location.url, "read committed", write=True)
        # Repeatable read: several statements of one transaction see one state.
        self._reading = self._engine(location.url, "repeatable read", write=False)

    def fault(self, error: BaseException) -> Fault:
        if not isinstance(error, psycopg.Error):
            return Fault.BAD
        state = error.sqlstate
        if state is None:
            lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            return Fault.AWAY if lost else Fault.BAD
        if state in _FULL:
            return Fault.FULL
        return Fault.AWAY if state.startswith(_AWAY) else Fault.BAD

    def is_integrity(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.IntegrityError)

    def acquire(self) -> None:
        """There is nothing to claim: the compare-and-set on a session's version holds between processes."""

    def release(self) -> None:
        """See `acquire`."""

    def connect(self, *, write: bool) -> sa.Connection:
        connection = (self._writing if write else self._reading).connect()
        try:
            if write:
                migrate(connection, self.name)
                connection.info[_TOKEN] = _backend(connection)
            elif self._read_only:
                with connection.begin():
                    check_revision(connection, self.name)
        except BaseException:
            close_quietly(connection)
            raise
        return connection

    def verify(self) -> None:
        """The server watches over its own files."""

    def inspect(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT key FROM sessions ORDER BY key DESC LIMIT 1").scalar()

    def is_lost(self, connection: sa.Connection) -> bool:
        if connection.closed or connection.invalidated:
            return True
        driver = connection.connection.driver_connection
        return driver is None or driver.closed or driver.broken

    def damaged(self) -> None:
        """The server says so in its own log, and for the rows concerned only."""

    def token(self, connection: sa.Connection) -> object:
        return connection.info[_TOKEN]

    def settle(self, connection: sa.Connection, token: object) -> None:
        """Ends the old session if it still works on its COMMIT: only then is what can be read the outcome."""
        query = sa.text(
            "SELECT pg_terminate_backend(pid, :patience) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :start"
        )
        pid, start = token if isinstance(token, tuple) else (None, None)
        patience = int(self._wait_seconds * 1000)
        ended = connection.execute(query, {"patience": patience, "pid": pid, "start": start}).scalar()
        if ended is False:
            raise DatabaseRefused(f"{self.name}: session {pid} still works on a COMMIT")

    def bulk_insert(self, table: str, columns: Sequence[str], after: str = "") -> Bulk:
        return row_by_row(insert_sql(table, columns, self.mark) + after)

    def bulk_update(self, table: str, columns: Sequence[str], where: Sequence[str]) -> Bulk:
        sets = ", ".join(f"{name} = {self.mark}" for name in columns)
        which = " AND ".join(f"{name} = {self.mark}" for name in where)
        return row_by_row(f"UPDATE {table} SET {sets} WHERE {which}")

    @contextmanager
    def batch(self, connection: sa.Connection) -> Iterator[None]:
        """One round trip for all its statements; an error of any is raised at the end."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with driver.pipeline():
            yield

    def _engine(self, url: sa.URL, isolation: str, *, write: bool) -> sa.Engine:
        wait_ms = int(self._wait_seconds * 1000)
        settings = {
            "statement_timeout": str(_STATEMENT_SECONDS * 1000),
            "lock_timeout": str(wait_ms),
            "idle_in_transaction_session_timeout": str(_STATEMENT_SECONDS * 1000),
            "default_transaction_isolation": isolation.replace(" ", "\\ "),
            "default_transaction_read_only": "off" if write and not self._read_only else "on",
        }
        given = url.query.get("options", "")
        options = " ".join(
            [*([given] if isinstance(given, str) else given), *(f"-c {k}={v}" for k, v in settings.items())]
        )
        engine = sa.create_engine(
            url.difference_update_query(["options"]),
            poolclass=sa.NullPool,
            connect_args={
                "connect_timeout": max(2, round(self._wait_seconds)),
                "application_name": "greenroom",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
                "options": options.strip(),
            },
        )

        @event.listens_for(engine, "connect")
        def adapt(connection: Any, record: Any) -> None:
            adapters = connection.adapters
            adapters.register_dumper(str, _StrDumper)
            adapters.register_loader("text", _StrLoader)
            # One type for all whole numbers, or a statement would be prepared anew for each mix of small and large ones.
            adapters.register_dumper(int, Int8Dumper)

        return engine


def _backend(connection: sa.Connection) -> tuple[Any, ...]:
    """Names this session for good: a process id alone may come again."""
    with connection.begin():
        query = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        return tuple(connection.exec_driver_sql(query).one())
