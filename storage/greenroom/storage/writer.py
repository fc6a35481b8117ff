"""The one thread that writes: what has gathered while it wrote goes into its next transaction."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

import sqlalchemy as sa

from greenroom.core.errors import StoreUnavailable
from greenroom.storage.commits import CommitWriter, LostRace, Prepared, explain, is_stored
from greenroom.storage.database import Database
from greenroom.storage.faults import CommitInDoubt, Fault
from greenroom.storage.outbox import Outbox

T = TypeVar("T")

UNAVAILABLE = "The session store is unavailable; nothing was stored"
IN_DOUBT = "The session store is unavailable; whether this was stored is not known"

_GROUP = 256
_SETTLE_SECONDS = 60.0


class Journal(Protocol):
    """Is told how writing goes."""

    def written(self) -> None: ...

    def failed(self, error: BaseException) -> None: ...


class Task:
    """A commit, or any other work to do in a transaction, and who waits for it."""

    __slots__ = ("future", "work")

    def __init__(self, work: Prepared | Callable[[sa.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future


class Writer:
    """A group is one transaction, so one fsync. An error in it rolls it back and writes its tasks one by one, so that each
    is answered by itself; an error of the database answers them all."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        self._link = database.link(write=True)
        self._commits = CommitWriter(database)
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._outbox: Outbox
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """On the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(self._loop)
        self._thread = threading.Thread(target=self._run, name="greenroom-writer", daemon=True)
        self._thread.start()

    @overload
    def submit(self, work: Prepared) -> asyncio.Future[None]: ...

    @overload
    def submit(self, work: Callable[[sa.Connection], T]) -> asyncio.Future[T]: ...

    def submit(self, work: Prepared | Callable[[sa.Connection], Any]) -> asyncio.Future[Any]:
        """The future has the work's result once it is durable. Cancelling it withdraws nothing."""
        if self._thread is None or self._closing.is_set():
            raise StoreUnavailable("The session store is not open for writing")
        future = self._loop.create_future()
        self._tasks.put(Task(work, future))
        return future

    async def close(self) -> None:
        """After what was submitted before."""
        if self._thread is not None and not self._closing.is_set():
            self._closing.set()
            self._tasks.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while group := self._take():
            self._write(group)
            self._outbox.flush()
        with self._link.lock:
            self._link.close()

    def _take(self) -> list[Task]:
        """What is queued; empty when it is time to stop."""
        first = self._tasks.get()
        if first is None:
            return []
        group = [first]
        while len(group) < _GROUP:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                break
            if task is None:
                self._tasks.put(None)
                break
            group.append(task)
        return group

    def _write(self, group: list[Task], *, settled: bool = False) -> None:
        results: list[Any] = []
        try:
            self._link.run(lambda connection: self._transact(connection, group, results))
        except CommitInDoubt as doubt:
            self._journal.failed(doubt)
            self._settle(group, results, doubt.token, again=not settled)
        except Exception as error:
            self._recover(group, error)
        else:
            self._journal.written()
            self._answer(group, results)

    def _transact(self, connection: sa.Connection, group: list[Task], results: list[Any]) -> None:
        results.clear()
        transaction = connection.begin()
        try:
            commits = [task.work for task in group if isinstance(task.work, Prepared)]
            if commits:
                self._commits.write(connection, commits)
            for task in group:
                results.append(None if isinstance(task.work, Prepared) else task.work(connection))
            self._database.verify()
        except BaseException:
            transaction.rollback()
            raise
        token = self._database.token(connection)
        try:
            transaction.commit()
        except Exception as error:
            if self._database.is_lost(connection):
                raise CommitInDoubt(token) from error
            transaction.rollback()
            raise

    def _answer(self, group: list[Task], results: list[Any]) -> None:
        for task, result in zip(group, results, strict=True):
            self._outbox.put(task.future, result)

    def _recover(self, group: list[Task], error: Exception) -> None:
        fault = self._database.classify(error)
        if fault is not Fault.BAD:
            self._journal.failed(error)
        if fault is Fault.AWAY or fault is Fault.CORRUPT:
            self._refuse(group, UNAVAILABLE, error)
        elif len(group) > 1:
            for task in group:
                self._write([task])
        elif fault is Fault.FULL:
            self._refuse(group, UNAVAILABLE, error)
        else:
            self._outbox.put(group[0].future, None, self._verdict(group[0], error))

    def _verdict(self, task: Task, error: Exception) -> Exception:
        work = task.work
        if isinstance(work, Prepared) and (isinstance(error, LostRace) or self._database.is_integrity(error)):
            try:
                return self._link.run(lambda connection: _in_transaction(connection, work, error))
            except Exception as other:
                self._journal.failed(other)
                return _unavailable(UNAVAILABLE, other)
        return error

    def _refuse(self, group: Sequence[Task], message: str, cause: Exception) -> None:
        for task in group:
            self._outbox.put(task.future, None, _unavailable(message, cause))

    def _settle(self, group: list[Task], results: list[Any], token: object, *, again: bool) -> None:
        """The connection was lost in COMMIT. Nobody is answered before the outcome has been read back."""
        attempts = [attempt for task in group if isinstance(task.work, Prepared) for attempt in task.work.attempt_ids]
        deadline = time.monotonic() + _SETTLE_SECONDS
        delay = 0.05
        while True:
            try:
                stored = self._link.run(lambda connection: self._read_back(connection, token, attempts))
            except Exception as error:
                self._journal.failed(error)
                self._refuse_waiting(error)
                if time.monotonic() > deadline or self._closing.wait(delay):
                    self._refuse(group, IN_DOUBT, error)
                    return
                delay = min(delay * 2, 1.0)
            else:
                break
        if stored:
            self._journal.written()
            self._answer(group, results)
        elif attempts and again:
            self._write(group, settled=True)
        else:
            self._refuse(group, UNAVAILABLE if attempts else IN_DOUBT, CommitInDoubt(token))

    def _read_back(self, connection: sa.Connection, token: object, attempts: Sequence[str]) -> bool:
        with connection.begin():
            self._database.settle(connection, token)
        if not attempts:
            return False
        with connection.begin():
            return is_stored(connection, attempts)

    def _refuse_waiting(self, cause: Exception) -> None:
        """Those in the queue need not wait until the database is back: nothing of theirs was written."""
        waiting = []
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                break
            if task is None:
                self._tasks.put(None)
                break
            waiting.append(task)
        self._refuse(waiting, UNAVAILABLE, cause)
        self._outbox.flush()


def _in_transaction(connection: sa.Connection, commit: Prepared, error: Exception) -> Exception:
    with connection.begin():
        return explain(connection, commit, error)


def _unavailable(message: str, cause: Exception) -> StoreUnavailable:
    error = StoreUnavailable(message)
    error.__cause__ = cause
    return error
