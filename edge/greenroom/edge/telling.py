"""A reply on its way from the core while it is made (STREAM-02)."""

import asyncio
from collections.abc import Callable, Iterable

from greenroom.v1.agent_pb2 import StreamTurnResponse
from greenroom.v1.turn_pb2 import Reply

_TOLD_EVERY = 8 * 1024
"""Characters after which the core is told that they are out; it lets four times as many be on their way."""


class Telling:
    """What has come of one reply. Made by `TurnStream.stream`, read by one reader.

    `read_on` is called with characters that the reader has passed on since the last time.
    """

    def __init__(self, read_on: Callable[[int], None]) -> None:
        self._read_on = read_on
        self._events: list[StreamTurnResponse] = []
        self._outcome: asyncio.Future[Reply] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._unsaid = 0
        self.begun = False
        """Whether the core has told anything of it."""

    def add(self, events: Iterable[StreamTurnResponse]) -> None:
        """More of it."""
        self.begun = True
        self._events.extend(events)
        self.wake()

    def settle(self, outcome: "asyncio.Future[Reply]") -> None:
        """There will be no more."""
        if not outcome.cancelled():
            outcome.exception()  # its reader may have left
            self._outcome = outcome
            self.wake()

    def wake(self) -> None:
        """Lets the reader look around."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Returns at the next `wake`; at once when there is something to take or the outcome is known."""
        if not self._events and self._outcome is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def take(self) -> list[StreamTurnResponse]:
        """What has come since the last time."""
        events, self._events = self._events, []
        return events

    def passed_on(self, events: Iterable[StreamTurnResponse]) -> None:
        """These are out: the core may let as much follow."""
        for event in events:
            self._unsaid += len(event.text_delta)
            if event.HasField("tool_call"):
                self._unsaid += len(event.tool_call.arguments_json) + len(event.tool_call.result_json)
        if self._unsaid >= _TOLD_EVERY and self._outcome is None:
            self._read_on(self._unsaid)
            self._unsaid = 0

    def reply(self) -> Reply | None:
        """The stored reply, once all of it has been taken. Raises EdgeError when there is none."""
        return None if self._outcome is None or self._events else self._outcome.result()
