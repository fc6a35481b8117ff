"""The threads that read, each on a connection of its own."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from greenroom.core.errors import StoreUnavailable
from greenroom.storage.database import Database, Link
from greenroom.storage.faults import Fault
from greenroom.storage.outbox import Outbox
from greenroom.storage.writer import Journal

T = TypeVar("T")

UNREADABLE = "The session store is unavailable"


class Readers:
    """Work is done in a read transaction: several statements see one state of the database."""

    def __init__(self, database: Database, journal: Journal, threads: int) -> None:
        self._database = database
        self._journal = journal
        self._links = [database.link(write=False) for _ in range(threads)]
        self._tasks: queue.SimpleQueue[tuple[Callable[[sa.Connection], Any], asyncio.Future[Any]] | None]
        self._tasks = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._outbox: Outbox
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(self._loop)
        for link in self._links:
            thread = threading.Thread(target=self._run, args=(link,), name="greenroom-reader", daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(self, work: Callable[[sa.Connection], T]) -> asyncio.Future[T]:
        if self._closed or not self._threads:
            raise StoreUnavailable("The session store is not open")
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put((work, future))
        return future

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, link: Link) -> None:
        while (task := self._tasks.get()) is not None:
            work, future = task
            if not future.cancelled():
                self._read(link, work, future)
                self._outbox.flush()
        with link.lock:
            link.close()

    def _read(self, link: Link, work: Callable[[sa.Connection], Any], future: asyncio.Future[Any]) -> None:
        try:
            result = link.run(lambda connection: _in_transaction(connection, work))
        except Exception as error:
            if self._database.classify(error) is Fault.BAD:
                self._outbox.put(future, None, error)
                return
            self._journal.failed(error)
            unavailable = StoreUnavailable(UNREADABLE)
            unavailable.__cause__ = error
            self._outbox.put(future, None, unavailable)
        else:
            self._outbox.put(future, result)


def _in_transaction(connection: sa.Connection, work: Callable[[sa.Connection], T]) -> T:
    with connection.begin():
        return work(connection)
