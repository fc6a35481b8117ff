"""One database as its connections see it: opened when first needed, and again after it was lost."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from greenroom.storage.bulk import Bulk
from greenroom.storage.faults import CommitInDoubt, DatabaseRefused, Fault, driver_error

T = TypeVar("T")


class Database(ABC):
    """What SQLite and PostgreSQL do differently. Called from any thread; raises DatabaseRefused, or the driver's errors."""

    def __init__(self, name: str, *, exclusive: bool, mark: str, user_lock: str = "") -> None:
        self.name = name
        self.exclusive = exclusive
        self.mark = mark
        """How the driver writes a parameter."""
        self.user_lock = user_lock
        """Ends a SELECT so that the rows it finds cannot be deleted before the transaction ends."""
        self._links: list[Link] = []

    def link(self, *, write: bool) -> "Link":
        link = Link(self, write=write)
        self._links.append(link)
        return link

    def close_links(self, *, write: bool) -> None:
        """Closes all that write, or all that only read, when their thread is done with what it does."""
        for link in self._links:
            if link.write is write:
                with link.lock:
                    link.close()

    @abstractmethod
    def fault(self, error: BaseException) -> Fault:
        """What the driver's exception means."""

    def classify(self, error: BaseException) -> Fault:
        original = driver_error(error)
        if isinstance(original, DatabaseRefused | CommitInDoubt | OSError):
            return Fault.AWAY
        return self.fault(original)

    @abstractmethod
    def is_integrity(self, error: BaseException) -> bool:
        """Whether the driver says that a unique key or a reference was violated."""

    @abstractmethod
    def acquire(self) -> None:
        """Claims the database for this process, where that can be done."""

    @abstractmethod
    def release(self) -> None:
        """Gives it up again."""

    @abstractmethod
    def connect(self, *, write: bool) -> sa.Connection:
        """A new connection. One to write has checked, and migrated, what it writes to."""

    @abstractmethod
    def verify(self) -> None:
        """Refuses when what is open is no longer what the URL means; costs microseconds."""

    @abstractmethod
    def batch(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """In it several statements may go out before the first one's result is in: read those after it."""

    @abstractmethod
    def bulk_insert(self, table: str, columns: Sequence[str], after: str = "") -> Bulk:
        """Inserts rows of these columns; `after` ends the statement."""

    @abstractmethod
    def bulk_update(self, table: str, columns: Sequence[str], where: Sequence[str]) -> Bulk:
        """Sets columns of the rows that have these values; a row of values has those of `columns`, then of `where`."""

    @abstractmethod
    def inspect(self, connection: sa.Connection) -> None:
        """Reads enough to know that the database can be read."""

    @abstractmethod
    def is_lost(self, connection: sa.Connection) -> bool:
        """Whether a connection that failed can only be replaced."""

    @abstractmethod
    def damaged(self) -> None:
        """Notes that a read or a write found the database corrupt."""

    @abstractmethod
    def token(self, connection: sa.Connection) -> object:
        """Names the server's side of a connection, for `settle`."""

    @abstractmethod
    def settle(self, connection: sa.Connection, token: object) -> None:
        """Returns when the server's side of a lost connection has ended: its COMMIT has happened or never will."""


class Link:
    """A thread's connection. `lock` is held while it is in use, so that another thread may close it in between."""

    def __init__(self, database: Database, *, write: bool) -> None:
        self.write = write
        self.lock = threading.Lock()
        self._database = database
        self._connection: sa.Connection | None = None

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Runs it once more, on a new connection, when the old one proves to have been lost before."""
        with self.lock:
            if self._connection is not None:
                lost, result = self._attempt(self._connection, work)
                if not lost:
                    return result[0]
            self._connection = self._open()
            return self._attempt(self._connection, work, last=True)[1][0]

    def _open(self) -> sa.Connection:
        try:
            return self._database.connect(write=self.write)
        except Exception as error:
            if self._database.classify(error) is Fault.CORRUPT:
                self._database.damaged()
            raise

    def _attempt(
        self, connection: sa.Connection, work: Callable[[sa.Connection], T], *, last: bool = False
    ) -> tuple[bool, list[T]]:
        """Whether the connection was lost before anything was decided, else the result."""
        try:
            return False, [work(connection)]
        except Exception as error:
            fault = self._database.classify(error)
            lost = fault is Fault.AWAY and self._database.is_lost(connection)
            if fault is Fault.AWAY or fault is Fault.CORRUPT:
                self.close()
            if fault is Fault.CORRUPT:
                self._database.damaged()
            if last or not lost or isinstance(error, CommitInDoubt):
                raise
            return True, []

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            close_quietly(connection)


def close_quietly(connection: sa.Connection) -> None:
    """Closes what may be broken already: what the driver says to that is not news."""
    try:
        # Without this, closing would first roll back, which waits where the server is gone.
        connection.invalidate()
        connection.close()
    except SQLAlchemyError:
        return
