"""Turns in flight, so that what is deleted under them ends them (SESSION-03, USER-04): nothing rises from the dead."""

import asyncio

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

    def end(self) -> asyncio.Event:
        """Ends the request unless its commit has begun. The event is set when it is over."""
        if self._over is None:
            self._over = asyncio.Event()
        if not self.committing and not self._deleted:
            self._deleted = True
            self._task.cancel()
        return self._over

    def cancelled(self) -> SessionDeleted | None:
        """What to raise in place of a cancellation that came from `end`."""
        if not self._deleted:
            return None
        self._task.uncancel()
        return SessionDeleted("the session was deleted while this turn was in flight")

    def close(self) -> None:
        if self._over is not None:
            self._over.set()


class Tickets:
    """All requests in flight, by session."""

    def __init__(self) -> None:
        self._open: dict[SessionName, list[Ticket]] = {}

    def take(self, name: SessionName, user_id: str) -> Ticket:
        """A ticket for the current task's request. Pair with `give_back`."""
        task = asyncio.current_task()
        assert task is not None
        ticket = Ticket(task, user_id)
        self._open.setdefault(name, []).append(ticket)
        return ticket

    def give_back(self, name: SessionName, ticket: Ticket) -> None:
        """The request is over."""
        ticket.close()
        tickets = self._open[name]
        tickets.remove(ticket)
        if not tickets:
            del self._open[name]

    async def end_session(self, name: SessionName) -> bool:
        """Ends what is in flight in a session, and waits until it is over. Whether there was anything."""
        return await self._end(self._open.get(name, ()))

    async def end_user(self, namespace: str, user_id: str) -> bool:
        """The same for every session in which something in flight is this user's: what waits there need not name it."""
        theirs = [
            tickets
            for name, tickets in self._open.items()
            if name[0] == namespace and any(ticket.user_id == user_id for ticket in tickets)
        ]
        return await self._end([ticket for tickets in theirs for ticket in tickets])

    async def _end(self, tickets: "list[Ticket] | tuple[()]") -> bool:
        over = [ticket.end() for ticket in tickets]
        for event in over:
            await event.wait()
        return bool(over)
