"""What a driver's exception means for those who wait for an answer."""

import enum
import sqlite3

import sqlalchemy as sa

try:
    import psycopg
except ImportError:  # the extra `postgres` is not installed: there are no such exceptions either
    psycopg = None  # type: ignore[assignment]


class DatabaseRefused(Exception):
    """The database cannot be used now. The text says which and why: no secrets, but files, so not for the wire."""


class CommitInDoubt(Exception):
    """The connection was lost in COMMIT; `token` names the session that was committing."""

    def __init__(self, token: object) -> None:
        super().__init__("connection lost during COMMIT")
        self.token = token


class Fault(enum.Enum):
    BAD = "bad"
    """This write cannot be made; another one can."""
    FULL = "full"
    """No room for this write; a smaller one may fit."""
    AWAY = "away"
    """The database cannot be reached, or somebody holds it."""
    CORRUPT = "corrupt"
    """The file is damaged."""


_SQLITE_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_POSTGRES_FULL = frozenset({"53100", "53200"})
# A lost connection, a server that only reads, a deadlock, resources, a timeout of ours, an operator, its disk.
_POSTGRES_AWAY = ("08", "25006", "40", "53", "55P03", "57", "58")


def driver_error(error: BaseException) -> BaseException:
    """The driver's own exception under SQLAlchemy's."""
    if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error


def classify(error: BaseException) -> Fault:
    original = driver_error(error)
    if isinstance(original, sqlite3.Error):
        return _classify_sqlite(original)
    if psycopg is not None and isinstance(original, psycopg.Error):
        return _classify_postgres(original)
    if isinstance(original, DatabaseRefused | CommitInDoubt | OSError):
        return Fault.AWAY
    return Fault.BAD


def _classify_sqlite(error: sqlite3.Error) -> Fault:
    # The code is absent on what the module itself raises, such as misuse.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Fault.FULL
    if code in _SQLITE_CORRUPT:
        return Fault.CORRUPT
    if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return Fault.AWAY
    return Fault.BAD


def _classify_postgres(error: "psycopg.Error") -> Fault:
    state = error.sqlstate
    if state is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Fault.AWAY if lost else Fault.BAD
    if state in _POSTGRES_FULL:
        return Fault.FULL
    return Fault.AWAY if state.startswith(_POSTGRES_AWAY) else Fault.BAD


def is_integrity(error: BaseException) -> bool:
    """A unique key or a reference was violated."""
    original = driver_error(error)
    if isinstance(original, sqlite3.IntegrityError):
        return True
    return psycopg is not None and isinstance(original, psycopg.IntegrityError)
