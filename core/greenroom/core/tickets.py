"""Turns in flight, so that what is deleted under them ends them (SESSION-03, USER-04): nothing rises from the dead."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from greenroom.core.errors import SessionDeleted
from greenroom.core.waiting import SessionName


class Ticket:
    """One request, from its arrival to its answer."""

    __slots__ = ("_deleted", "_over", "_task", "committing", "user_id")

    def __init__(self, task: "asyncio.Task[object]", user_id: str) -> None:
        self._task = task
        self._over: asyncio.Event | None = None
        self._deleted = False
        self.user_id = user_id
        self.committing = False
        """Set once the commit has begun: its outcome decides, and whoever deletes waits for it."""

    @property
    def deleted(self) -> bool:
        return self._deleted

    def end(self) -> asyncio.Event:
        """Ends the request unless its commit has begun. The event is set when it is over."""
        if self._over is None:
            self._over = asyncio.Event()
        if not self.committing and not self._deleted:
            self._deleted = True
            self._task.cancel()
        return self._over

    def close(self) -> None:
        if self._over is not None:
            self._over.set()


class Tickets:
    """All requests in flight, by session."""

    def __init__(self) -> None:
        self._open: dict[SessionName, list[Ticket]] = {}

    @contextmanager
    def taken(self, name: SessionName, user_id: str) -> Iterator[Ticket]:
        """A ticket for the current task's request. Raises `SessionDeleted` out of it when the session goes meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        ticket = Ticket(task, user_id)
        self._open.setdefault(name, []).append(ticket)
        try:
            yield ticket
        except asyncio.CancelledError:
            if not ticket.deleted:
                raise
            task.uncancel()
            raise SessionDeleted("the session was deleted while this turn was in flight") from None
        finally:
            ticket.close()
            tickets = self._open[name]
            tickets.remove(ticket)
            if not tickets:
                del self._open[name]

    async def end_session(self, name: SessionName) -> bool:
        """Ends what is in flight in a session, and waits until it is over. Whether there was anything."""
        return await self._end(self._open.get(name, ()))

    async def end_user(self, namespace: str, user_id: str) -> bool:
        """The same for all that names a user."""
        tickets = [t for name, open_ in self._open.items() if name[0] == namespace for t in open_]
        return await self._end([ticket for ticket in tickets if ticket.user_id == user_id])

    async def _end(self, tickets: "list[Ticket] | tuple[()]") -> bool:
        over = [ticket.end() for ticket in tickets]
        for event in over:
            await event.wait()
        return bool(over)
