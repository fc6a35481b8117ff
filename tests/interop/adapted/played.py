"""Turns of an adapted agent, in memory: in several sessions, sent anew from an earlier point, and read while they are made.

What `sees_…` says is asserted of agents whose model, asked for an order, calls `look_up`, and else tells what it was told.
"""

import asyncio
import itertools
import json
import random
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

__all__ = [
    "Played", "ask", "play", "scripted", "sees_each_session_apart", "sees_text_streamed_and_tokens_counted",
    "sees_the_conversation_before_once", "sees_the_scenarios_tools", "sees_the_tools_recorded", "streamed", "users",
]  # fmt: skip


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


def users(text: str) -> list[str]:
    """What the model says that users have told it."""
    told: list[str] = json.loads(text)["users"]
    return told


async def sees_the_tools_recorded(agent: Agent) -> None:
    """Two calls at once are in the evidence, and what they did in the session's world; the model reads what they gave."""
    [reply] = await play(agent, ["order 12 34"])
    assert [(call.name, call.ok, json.loads(call.arguments_json)) for call in reply.tool_calls] == [
        ("look_up", True, {"order_id": "12"}),
        ("look_up", True, {"order_id": "34"}),
    ]
    assert json.loads(reply.tool_calls[0].result_json) == {"order": "12", "status": "shipped"}
    assert reply.world["seen"] == {"12": {"times": 1}, "34": {"times": 1}}
    assert reply.text.startswith("Let me look.")
    assert "shipped" in reply.text


async def sees_the_scenarios_tools(agent: Agent) -> None:
    """What a scenario says of a tool, the model reads; the tool does not run."""
    [reply] = await play(agent, ["order 12"], **scripted({"return": {"status": "lost"}}))
    assert '{"status": "lost"}' in reply.text
    assert reply.world["seen"] == {}
    assert reply.tool_calls[0].scripted_by


async def sees_the_conversation_before_once(agent: Agent) -> None:
    """A conversation that began elsewhere is handed to the framework's memory in its first turn."""
    async with Played(agent) as played:
        told = [*ask("one"), {"role": "assistant", "content": "1"}, *ask("two")]
        reply = await played.send(told)
        assert users(reply.turn.reply) == ["one", "two"]
        answered = {"role": "assistant", "content": reply.turn.reply}
        reply = await played.send([*told, answered, *ask("three")])
        assert users(reply.turn.reply) == ["one", "two", "three"]


async def sees_text_streamed_and_tokens_counted(agent: Agent) -> None:
    """In a turn whose model is asked twice, and counts 10 and 3 tokens each time."""
    told, reply = await streamed(agent, "order 12")
    assert "".join(told) == reply.turn.reply
    assert len(told) > 5
    assert (reply.turn.prompt_tokens, reply.turn.completion_tokens) == (20, 6)


async def sees_each_session_apart(agent: Agent) -> None:
    """Sessions at once do not hear of each other."""
    chance = random.Random(1)
    async with Played(agent) as played:

        async def talk(name: str) -> list[str]:
            told: list[str] = []
            for number in range(4):
                await asyncio.sleep(chance.random() / 1000)
                told = users((await played.say(f"{name}{number}", session=name)).turn.reply)
            return told

        told = await asyncio.gather(*(talk(name) for name in "abcdefgh"))
    assert told == [[f"{name}{number}" for number in range(4)] for name in "abcdefgh"]
