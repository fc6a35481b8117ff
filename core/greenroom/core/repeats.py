"""Requests that are sent again, and which of them are one (CHAT-15).

A request that repeats one in flight waits for its reply. One whose client has left is run to its end, and its reply is kept
for the same request. What is remembered here is bounded and may be lost with the process; what a reply's delivery hangs on
is in the store.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

from greenroom.core.request import TurnReply
from greenroom.core.waiting import SessionName

FlightKey = tuple[SessionName, bytes]
"""A session and the hash of a request: what makes two requests one."""

K = TypeVar("K")
V = TypeVar("V")

_REMEMBERED = 10_000


class Flight:
    """A request that is being run, and the attempts that wait for its reply."""

    __slots__ = ("_outcome", "attempt_id", "key", "runner", "waiting")

    def __init__(self, key: FlightKey, attempt_id: str, waits: str) -> None:
        self.key = key
        self.attempt_id = attempt_id
        self.runner = waits
        """The attempt of the request that runs it; another one than `attempt_id` where that was taken over."""
        self.waiting = {waits}
        self._outcome: asyncio.Future[TurnReply | None] | None = None

    async def join(self, attempt_id: str) -> TurnReply | None:
        """The reply, or the failure raised; None when whoever ran it was stopped by its own caller."""
        self.waiting.add(attempt_id)
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.shield(self._outcome)
        except BaseException:
            self.waiting.discard(attempt_id)
            raise

    def land(self, reply: TurnReply | None, error: BaseException | None = None) -> None:
        """Lets those who joined have it."""
        if self._outcome is None or self._outcome.done():
            return
        if error is None:
            self._outcome.set_result(reply)
        else:
            self._outcome.set_exception(error)
            self._outcome.exception()  # those who waited may all have left


class Repeats:
    """What is in flight, and what has been, as far as requests may be sent again."""

    def __init__(self) -> None:
        self.flights: dict[FlightKey, Flight] = {}
        self._refused: Recent[FlightKey, int] = Recent()
        self._recipients: Recent[str, set[str]] = Recent()
        self._turn_of: Recent[str, str] = Recent()
        self._nameless: Recent[str, bytes] = Recent()
        self._strays: Recent[bytes, str] = Recent()

    def refused(self, key: FlightKey, moment_us: int) -> None:
        """A request that was sent for the first time came to nothing, at this moment."""
        self._refused.keep(key, moment_us)

    def accepted(self, key: FlightKey) -> None:
        """It has its reply now."""
        if self._refused:
            self._refused.pop(key, None)

    def first_refusal(self, key: FlightKey) -> int:
        """When it first came to nothing, in microseconds since 1970; 0: not known."""
        return self._refused.get(key, 0)

    def given_to(self, attempts: Iterable[str], turn_attempt: str) -> None:
        """The reply of one attempt goes to these now: whoever had it before asks no more."""
        recipients = set(attempts)
        for attempt_id in recipients:
            if attempt_id != turn_attempt:
                self._turn_of.keep(attempt_id, turn_attempt)
        self._recipients.keep(turn_attempt, recipients)

    def turn_of(self, attempt_id: str) -> str:
        """The attempt that ran the turn whose reply this one was given; itself, where nothing else is known."""
        return self._turn_of.get(attempt_id, attempt_id)

    def wanted(self, turn_attempt: str) -> bool:
        """Whether a reply that was given again has somebody who waits for it."""
        return bool(self._recipients.get(turn_attempt))

    def left(self, attempt_id: str) -> str | None:
        """A client has left. The attempt whose reply nobody has now; None while somebody else has it or waits for it."""
        for flight in self.flights.values():
            if attempt_id in flight.waiting:
                flight.waiting.discard(attempt_id)
                if not flight.waiting:
                    self._strayed(flight.attempt_id)
                return None
        turn_attempt = self.turn_of(attempt_id)
        recipients = self._recipients.get(turn_attempt)
        if recipients is not None:
            recipients.discard(attempt_id)
            if recipients:
                return None
        self._strayed(turn_attempt)
        return turn_attempt

    def is_waited_for(self, attempt_id: str) -> bool:
        """Whether somebody waits for the reply of what this attempt runs."""
        return any(flight.waiting for flight in self.flights.values() if flight.runner == attempt_id)

    def nameless(self, attempt_id: str, request: bytes) -> None:
        """This attempt came without a session id: should its client leave, the same request is known by this hash."""
        self._nameless.keep(attempt_id, request)

    def stray(self, request: bytes) -> str | None:
        """The attempt that ran the same request without session id, and whose client has left; given out once."""
        return self._strays.pop(request, None) if self._strays else None

    def _strayed(self, attempt_id: str) -> None:
        request = self._nameless.get(attempt_id)
        if request is not None:
            self._strays.keep(request, attempt_id)


class Recent(OrderedDict[K, V], Generic[K, V]):
    """The entries kept last."""

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _REMEMBERED:
            self.popitem(last=False)
