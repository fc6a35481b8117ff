"""A reply on its way while it is made: what the agent says and the calls it has made, for one who reads along (STREAM-02).

The agent's side is held back while its reader is slow: what has not been read is bounded. Once something has been read the
turn cannot be run anew, since it might say something else.
"""

import asyncio
import threading
from collections import deque
from datetime import datetime
from typing import Final

import msgspec

from greenroom.core.errors import StreamBroken
from greenroom.core.plain import well_formed
from greenroom.core.records import ToolCallRecord, TurnRecord

WINDOW: Final = 32 * 1024
"""Characters that may be unread before the agent has to wait."""


_BROKEN = "the session changed while the reply was streamed, and what was told of it does not hold; send it again"


class Begun(msgspec.Struct, frozen=True, gc=False):
    """What is known of a reply before there is any of it."""

    session_id: str
    chat_id: str
    completion_id: str
    agent: str
    at: datetime


Event = Begun | str | ToolCallRecord


class Feed:
    """One streamed turn's events. To be made on the loop that runs the turn; `say` may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._begun: Begun | None = None
        self._events: deque[str | ToolCallRecord] = deque()
        self._unread = 0
        self._more = asyncio.Event()
        self._read = asyncio.Event()
        self._over = False
        self._said: list[str] = []
        """The text that was read."""
        self._calls: list[str] = []
        """The ids of the calls that were read."""

    # The agent's side

    def begin(self, begun: Begun) -> None:
        """The turn runs, or runs anew: what it has said before is forgotten. Raises `StreamBroken` when that was read."""
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
        self._put(record, len(record.arguments_json) + len(record.result_json))

    async def room(self) -> None:
        """Returns when the reader has kept up."""
        while self._unread > WINDOW and not self._over:
            self._read.clear()
            await self._read.wait()

    def _put(self, event: str | ToolCallRecord, size: int) -> None:
        if self._over:
            return
        self._events.append(event)
        self._unread += size
        if threading.get_ident() == self._thread:
            self._more.set()
        else:
            self._loop.call_soon_threadsafe(self._more.set)

    # The reader's side

    async def read(self) -> list[Event]:
        """What there is, as soon as there is something; [] when there will be no more."""
        while not self._events:
            if self._over:
                return []
            self._more.clear()
            await self._more.wait()
        events: list[Event] = []
        if self._begun is not None:
            events.append(self._begun)
            self._begun = None
        for _ in range(len(self._events)):
            events.append(self._note(self._events.popleft()))
        self._unread = 0
        self._read.set()
        return events

    def rest(self, turn: TurnRecord) -> list[str | ToolCallRecord]:
        """What of the stored reply was not read. Raises `StreamBroken` when it is not what was begun."""
        said = "".join(self._said)
        calls = [call.id for call in turn.tool_calls]
        if not turn.reply.startswith(said) or calls[: len(self._calls)] != self._calls:
            raise StreamBroken(_BROKEN)
        text = turn.reply[len(said) :]
        return [*turn.tool_calls[len(self._calls) :], *([text] if text else [])]

    def close(self) -> None:
        """The turn is over, or its reader has left: nobody waits any longer."""
        self._over = True
        self._more.set()
        self._read.set()

    def _note(self, event: str | ToolCallRecord) -> str | ToolCallRecord:
        if isinstance(event, str):
            self._said.append(event)
        else:
            self._calls.append(event.id)
        return event
