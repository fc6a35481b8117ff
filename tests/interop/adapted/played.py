"""Turns of an adapted agent, in memory: in several sessions, sent anew from an earlier point, and read while they are made."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.core.agent import Agent
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.feed import Feed
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import NOBODY, TurnReply, TurnRequest
from greenroom.core.served import Served
from greenroom.sdk.testing import play

__all__ = ["Played", "ask", "play", "scripted", "streamed"]


def ask(text: str) -> list[dict[str, Any]]:
    """What a request says that brings one message of the user."""
    return [{"role": "user", "content": text}]


def scripted(rule: Mapping[str, Any], tool: str = "look_up") -> dict[str, Any]:
    """Arguments of `play` by which a scenario decides what a tool does."""
    scenario = {"id": "scripted", "tools": {tool: [rule]}}
    return {"scenarios": [scenario], "metadata": {"scenario_id": "scripted"}}


class Played:
    """An agent that is served in memory."""

    def __init__(self, agent: Agent) -> None:
        limits = Limits()
        self._core = Core(Agents([Served(agent, "agent", limits, [], strict=False)]), MemoryStore(), limits)
        self._keys = itertools.count()

    async def __aenter__(self) -> "Played":
        await self._core.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._core.stop()

    async def say(self, text: str, session: str = "played") -> TurnReply:
        """The next turn of a session."""
        return await self.send(ask(text), session)

    async def send(
        self, messages: Sequence[Mapping[str, Any]], session: str = "played", feed: Feed | None = None
    ) -> TurnReply:
        """A request of these messages."""
        sent = tuple(Message(one["role"], one["content"]) for one in messages)
        key = f"request-{next(self._keys)}"
        return await self._core.turns.run(
            TurnRequest(messages=sent, session_id=session, idempotency_key=key, feed=feed)
        )

    async def state(self, session: str = "played") -> dict[str, Any]:
        """`turn.state` after the session's last turn."""
        page = await self._core.sessions.turns(NOBODY, session, 100, "")
        state: dict[str, Any] = json.loads(page.turns[-1].state_json)
        return state


async def streamed(agent: Agent, text: str) -> tuple[list[str], TurnReply]:
    """The pieces of text that somebody reads along, and the reply."""
    told: list[str] = []

    def take() -> None:
        told.extend(event for event in feed.take() if isinstance(event, str))

    feed = Feed(take)
    async with Played(agent) as played:
        reply = await played.send(ask(text), feed=feed)
        take()
    return told, reply
