"""Who may run now: turns of one session one at a time (CHAT-16), and no more than this core can carry (SEC-05)."""

import asyncio
from collections import deque

from greenroom.core.errors import Overloaded, SessionBusy
from greenroom.core.limits import Limits

SessionName = tuple[str, str]
"""Namespace and session id."""


class SessionQueue:
    """Serialises the turns of each session, first come first served."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queues: dict[SessionName, deque[asyncio.Future[None]]] = {}

    async def enter(self, name: SessionName, patience: float | None = None) -> None:
        """Waits for the session, `patience` seconds at most. Raises `SessionBusy` when too many wait already, or for too
        long. Pair with `leave`."""
        waiting = self._queues.get(name)
        if waiting is None:
            self._queues[name] = deque()
            return
        if len(waiting) >= self._limits.session_waiting:
            raise SessionBusy("too many turns wait for this session")
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            limit = self._limits.session_wait
            async with asyncio.timeout(limit if patience is None else min(limit, patience)):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave(name)
            elif turn in waiting:
                waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise SessionBusy("the session's earlier turns took too long") from None
            raise

    def leave(self, name: SessionName) -> None:
        """Lets the next one in."""
        waiting = self._queues[name]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[name]


class Capacity:
    """Bounds the turns that run and those that wait. One key may not hold more than half while others are active."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._present = 0
        self._running: dict[str, int] = {}
        self._total = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def running(self) -> int:
        """How many turns run now."""
        return self._total

    def admit(self) -> None:
        """Counts a turn in. Raises `Overloaded` at once when there are too many. Pair with `dismiss`."""
        if self._present >= self._limits.max_in_flight + self._limits.max_queued:
            raise Overloaded("the server has as many turns as it can carry")
        self._present += 1

    def dismiss(self) -> None:
        """Counts a turn out."""
        self._present -= 1

    async def enter(self, key: str, patience: float | None = None) -> None:
        """Waits for a place to run, `patience` seconds at most. Raises `Overloaded`. Pair with `leave`."""
        if self._may_run(key):
            self._start(key)
            return
        place = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(key, deque())
        waiting.append(place)
        try:
            async with asyncio.timeout(patience):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave(key)
            else:
                self._give_up(key, place)
            if isinstance(error, TimeoutError):
                raise Overloaded("no place became free in time") from None
            raise

    def leave(self, key: str) -> None:
        """Gives the place to whoever waits and holds least."""
        self._total -= 1
        held = self._running[key] - 1
        if held:
            self._running[key] = held
        else:
            del self._running[key]
        self._let_in()

    def _give_up(self, key: str, place: asyncio.Future[None]) -> None:
        """Whoever passed over a place that was given up has taken it out already."""
        waiting = self._waiting.get(key)
        if waiting is not None and place in waiting:
            waiting.remove(place)
            if not waiting:
                del self._waiting[key]
                self._let_in()  # who had to leave room for this key has it to itself

    def _let_in(self) -> None:
        while self._waiting and self._total < self._limits.max_in_flight:
            entitled = [name for name in self._waiting if self._may_run(name)]
            if not entitled:
                return
            chosen = min(entitled, key=lambda name: self._running.get(name, 0))
            queue = self._waiting[chosen]
            place = queue.popleft()
            if not queue:
                del self._waiting[chosen]
            if not place.done():
                self._start(chosen)
                place.set_result(None)

    def _start(self, key: str) -> None:
        self._total += 1
        self._running[key] = self._running.get(key, 0) + 1

    def _may_run(self, key: str) -> bool:
        if self._total >= self._limits.max_in_flight:
            return False
        held = self._running.get(key, 0)
        if held < max(self._limits.max_in_flight // 2, 1):
            return True
        return not any(other != key for other in (*self._running, *self._waiting))
