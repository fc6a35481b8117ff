"""A reply on its way while it is made: what the agent says and the calls it has made, for one who reads along (STREAM-02).

The agent's side is held back while its reader is slow: what has not been read is bounded. Once something has been read the
turn cannot be run anew, since it might say something else.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import groupby
from typing import Final

import msgspec

from greenroom.core.errors import StreamBroken
from greenroom.core.plain import well_formed
from greenroom.core.records import ToolCallRecord, TurnRecord

WINDOW: Final = 32 * 1024
"""Characters that may be unread before the agent has to wait."""

_PIECES = 64
"""What waits is told piece by piece up to so many. Each costs the same however short, and all turns wait meanwhile."""

_BROKEN = "the session changed while the reply was streamed, and what was told of it does not hold; send it again"


class Begun(msgspec.Struct, frozen=True, gc=False):
    """What is known of a reply before there is any of it."""

    session_id: str
    chat_id: str
    completion_id: str
    agent: str
    at: datetime
    replayed: bool = False
    """It was stored earlier, and is told again."""


Event = Begun | str | ToolCallRecord


def size_of(event: Event) -> int:
    """What an event takes of the window: its characters, of a call those of arguments and result."""
    if isinstance(event, str):
        return len(event)
    return len(event.arguments_json) + len(event.result_json) if isinstance(event, ToolCallRecord) else 0


def joined(events: Iterable[str | ToolCallRecord]) -> list[str | ToolCallRecord]:
    """The same events with as few pieces of text as there can be."""
    fewer: list[str | ToolCallRecord] = []
    for is_text, run in groupby(events, lambda event: isinstance(event, str)):
        same = list(run)
        fewer.extend(["".join(map(str, same))] if is_text else same)
    return fewer


class Feed:
    """One streamed turn's events. To be made on the loop that runs the turn; `say` may be called from any thread.

    `wake` is called on the loop when there is more to take. What was taken counts as unread until `acknowledge`.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._begun: Begun | None = None
        self._events: deque[str | ToolCallRecord] = deque()
        self._unread = 0
        self._read: asyncio.Event | None = None
        self._over = False
        self._said: list[str] = []
        """The text that was taken."""
        self._calls: list[str] = []
        """The ids of the calls that were taken."""

    # The agent's side

    def begin(self, begun: Begun) -> None:
        """The turn runs, or runs anew: what it has said before is forgotten. Raises `StreamBroken` when that was taken."""
        if self._said or self._calls:
            raise StreamBroken(_BROKEN)
        self._begun = begun
        self._events.clear()
        self._unread = 0

    def say(self, text: str) -> None:
        """More of the reply's text."""
        if text:
            self._put(well_formed(text), len(text))

    def call(self, record: ToolCallRecord) -> None:
        """A call that is over."""
        self._put(record, size_of(record))

    async def room(self) -> None:
        """Returns when the reader has kept up."""
        while self._unread > WINDOW and not self._over:
            if self._read is None:
                self._read = asyncio.Event()
            self._read.clear()
            await self._read.wait()

    def _put(self, event: str | ToolCallRecord, size: int) -> None:
        if self._over:
            return
        self._events.append(event)
        self._unread += size
        if threading.get_ident() == self._thread:
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    # The reader's side

    def take(self) -> list[Event]:
        """What there is; how it began comes with the first of it."""
        if not self._events:
            return []
        events: list[Event] = []
        if self._begun is not None:
            events.append(self._begun)
            self._begun = None
        waiting = [self._events.popleft() for _ in range(len(self._events))]  # a thread may add to them meanwhile
        events.extend(map(self._note, waiting if len(waiting) <= _PIECES else joined(waiting)))
        return events

    def acknowledge(self, size: int) -> None:
        """So much of what was taken has been read, by `size_of`."""
        self._unread = max(0, self._unread - size)
        if self._read is not None and self._unread <= WINDOW:
            self._read.set()

    def rest(self, turn: TurnRecord) -> list[str | ToolCallRecord]:
        """What of the stored reply was not taken. Raises `StreamBroken` when it is not what was begun."""
        said = "".join(self._said)
        calls = [call.id for call in turn.tool_calls]
        if not turn.reply.startswith(said) or calls[: len(self._calls)] != self._calls:
            raise StreamBroken(_BROKEN)
        text = turn.reply[len(said) :]
        return [*turn.tool_calls[len(self._calls) :], *([text] if text else [])]

    @property
    def begun(self) -> bool:
        """Whether something was taken."""
        return bool(self._said or self._calls)

    def close(self) -> None:
        """The turn is over, or its reader has left: nobody waits any longer."""
        self._over = True
        if self._read is not None:
            self._read.set()
        self._wake()

    def _note(self, event: str | ToolCallRecord) -> str | ToolCallRecord:
        if isinstance(event, str):
            self._said.append(event)
        else:
            self._calls.append(event.id)
        return event
