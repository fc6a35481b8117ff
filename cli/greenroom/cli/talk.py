"""One conversation with an agent on a stage: said, gone back in, begun anew."""

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import count

from greenroom.cli.onlooker import Onlooker
from greenroom.core.core import Core
from greenroom.core.feed import Begun, Feed, size_of
from greenroom.core.records import Change, Message, ToolCallRecord, TurnRecord
from greenroom.core.request import NOBODY, TurnRequest

Tell = Callable[[str | ToolCallRecord], None]
"""Takes a piece of the reply's text, or a tool call that is over."""


class Talk:
    """The turns that count, in order. Another session begins with `anew`."""

    def __init__(self, core: Core, onlooker: Onlooker, user_id: str, scenario: str) -> None:
        self._core = core
        self._onlooker = onlooker
        self._user_id = user_id
        self._scenario = scenario
        self._numbers = count(1)
        self.anew(scenario)

    def anew(self, scenario: str | None = None) -> None:
        """A new session; None: in the same scenario."""
        self._scenario = self._scenario if scenario is None else scenario
        self._session_id = f"chat-{next(self._numbers)}"
        self._turns: list[TurnRecord] = []
        self._is_whole = False
        """Whether every request carries the whole conversation: once one has, those without start over (CHAT-12)."""

    def back(self) -> str:
        """Takes the last turn back, with what it did to the world, once the next one is said. Returns what the user said in
        it; "" where there is none."""
        if not self._turns:
            return ""
        self._is_whole = True
        return _text(self._turns.pop())

    async def say(self, text: str, tell: Tell, running_now: Callable[[str], None]) -> TurnRecord:
        """One turn, told as it runs, with the names of the tools that run now. Raises a `GreenroomError`."""
        wake = asyncio.Event()
        self._onlooker.wake = wake.set
        feed = Feed(wake.set)
        running = asyncio.create_task(self._core.turns.run(self._request(text, feed)))
        running.add_done_callback(lambda _: wake.set())
        try:
            while not running.done():
                await wake.wait()
                wake.clear()
                for event in feed.take():
                    if not isinstance(event, Begun):
                        tell(event)
                    feed.acknowledge(size_of(event))
                if self._onlooker.running:
                    running_now(", ".join(self._onlooker.running))
            turn = running.result().turn
            for event in feed.rest(turn):
                tell(event)
        finally:
            running.cancel()
        self._turns.append(turn)
        return turn

    async def world(self) -> tuple[str, Sequence[Change]]:
        """The world as it is now, as JSON, and what has changed in it since the start."""
        if not self._turns:
            scenarios = self._core.agents.default.scenarios
            return (scenarios.find(self._scenario) or scenarios.default).seed.text, ()
        view = await self._core.sessions.world(NOBODY, self._session_id, self._turns[-1].number, None)
        return view.world_json, view.changes

    def _request(self, text: str, feed: Feed) -> TurnRequest:
        messages = [Message("user", text)]
        if self._is_whole:
            told = [(Message("user", _text(turn)), Message("assistant", turn.reply)) for turn in self._turns]
            messages = [message for pair in told for message in pair] + messages
        return TurnRequest(
            messages=tuple(messages),
            session_id=self._session_id,
            user_id=self._user_id,
            metadata_json=json.dumps({"scenario_id": self._scenario}) if self._scenario else "",
            transcript=self._is_whole,
            feed=feed,
        )


def _text(turn: TurnRecord) -> str:
    return "\n".join(message.content or "" for message in turn.messages if message.role == "user")
