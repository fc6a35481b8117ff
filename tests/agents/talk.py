"""A conversation with an agent in this process, its turns streamed or not, with what failed attempts leave behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from greenroom.core.agents import Agents
from greenroom.core.cassettes.deck import Deck
from greenroom.core.core import Core
from greenroom.core.errors import GreenroomError
from greenroom.core.feed import Begun, Feed
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import FailedTurn, Message, ToolCallRecord, TurnRecord
from greenroom.core.request import TurnReply, TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


@dataclass
class Told:
    """What a stream was told of one turn, piece by piece. `slow`: it says of none that it was read."""

    slow: bool = False
    pieces: list[str] = field(default_factory=list)
    calls: list[ToolCallRecord] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Talk:
    """See `talking`."""

    def __init__(self, core: Core, store: MemoryStore) -> None:
        self._core = core
        self._store = store

    async def say(self, text: str, *, options: Any = None, told: Told | None = None, **more: Any) -> TurnRecord:
        """One turn; raises what a client would be told. With `told` it is streamed."""
        messages = (Message("user", text),)
        return (await self.send(messages, options=options, told=told, **more)).turn

    async def send(
        self, messages: Sequence[Message], *, options: Any = None, told: Told | None = None, **more: Any
    ) -> TurnReply:
        more.setdefault("session_id", "s1")
        request = TurnRequest(messages=tuple(messages), options_json=json.dumps(options) if options else "", **more)
        if told is None:
            return await self._core.turns.run(request)

        def read() -> None:
            for event in feed.take():
                if isinstance(event, str):
                    told.pieces.append(event)
                    feed.acknowledge(0 if told.slow else len(event))
                elif not isinstance(event, Begun):
                    told.calls.append(event)

        feed = request.feed = Feed(read)
        return await self._core.turns.run(request)

    async def fails(self, text: str, **more: Any) -> GreenroomError:
        """What a client is told of a turn that fails."""
        with pytest.raises(GreenroomError) as failure:
            await self.say(text, **more)
        return failure.value

    async def failures(self) -> Sequence[FailedTurn]:
        """The failed attempts at the session's turns."""
        return await self._store.list_failures("", "s1")


async def until(condition: Callable[[], bool]) -> None:
    """Waits, bounded, for what another task will bring about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # what is waited for is nothing of ours
            await asyncio.sleep(0.002)


@asynccontextmanager
async def talking(
    agent: Agent, limits: Limits | None = None, *, memory: bool = False, deck: Deck | None = None
) -> AsyncIterator[Talk]:
    """A core in memory that serves the agent to one session."""
    limits = limits or Limits()
    store = MemoryStore()
    core = Core(Agents([Served(agent, "agent", limits, memory=memory)], deck=deck), store, limits)
    await core.start()
    try:
        yield Talk(core, store)
    finally:
        await core.stop()
