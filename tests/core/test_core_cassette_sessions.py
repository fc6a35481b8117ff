"""Cassettes: many sessions whose users say the same, recorded at the same time and each answered otherwise."""

import itertools
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from greenroom.core.agents import Agents
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Turn, tool

HELLO, WHY, BYE = "Hello.", "Why?", "Bye."


def agent_that_varies() -> Agent:
    """Its tool never answers the same twice, and its model is shown all that the tool has answered so far; the user is
    told nothing of it until the end."""
    counted = itertools.count(1)

    @tool
    async def read_clock() -> int:
        """Asks outside."""
        return next(counted)

    agent = Agent("varies", tools=[read_clock])

    @agent.reply
    async def reply(turn: Turn) -> str:
        seen: list[int] = [*turn.state.get("seen", []), await turn.call(read_clock)]
        turn.state["seen"] = seen

        async def ask() -> Any:
            return {"seen": seen, "thought": next(counted)}

        return json.dumps(await turn.recorded("gpt", {"seen": seen}, ask)) if turn.text == BYE else "Well."

    return agent


class Stage:
    """One core with its cassettes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def say(self, session: str, text: str, *history: str) -> str:
        """The reply. `history`: what the user had said and was told before, where the whole conversation is sent."""
        roles = itertools.cycle(("user", "assistant"))
        messages = [Message(role, content) for role, content in zip(roles, [*history, text], strict=False)]
        request = TurnRequest(messages=tuple(messages), session_id=session)
        return (await self._core.turns.run(request)).turn.reply


@asynccontextmanager
async def stage(**rule: str) -> AsyncIterator[Stage]:
    limits = Limits()
    served = Served(agent_that_varies(), "varies", limits)
    core = Core(Agents([served], deck=Deck(CassetteRule(**rule))), MemoryStore(), limits)
    await core.start()
    try:
        yield Stage(core)
    finally:
        await core.stop()


ORDERS = [
    ["one", "two", "two", "one", "two", "one"],
    ["one", "two", "one", "two", "two", "one"],
    ["one", "two", "two", "two", "one", "one"],
    ["one", "one", "two", "two", "one", "two"],
]


@pytest.mark.parametrize("order", ORDERS)
async def test_sessions_whose_users_say_the_same_are_not_mixed(tmp_path: Path, order: Sequence[str]) -> None:
    path = str(tmp_path / "c.jsonl")
    live: dict[str, list[str]] = {"one": [], "two": []}
    async with stage(record=path) as recording:
        for session in order:
            live[session].append(await recording.say(session, (HELLO, WHY, BYE)[len(live[session])]))
    assert live["one"] != live["two"]
    async with stage(replay=path) as replaying:
        for session, first in (("two", "two"), ("three", "one"), ("one", "one"), ("four", "one")):
            assert [await replaying.say(session, text) for text in (HELLO, WHY, BYE)] == live[first]


@pytest.mark.parametrize("seed", range(10))
async def test_sessions_that_begin_alike_and_go_back_have_their_own_answers_again(tmp_path: Path, seed: int) -> None:
    path = str(tmp_path / "c.jsonl")
    chance = random.Random(seed)
    past: dict[str, list[str]] = {f"session-{letter}": [] for letter in "abcd"}
    live: list[tuple[str, list[str], str]] = []
    async with stage(record=path) as recording:
        for _ in range(16):
            session = chance.choice(list(past))
            told = past[session]
            if told and chance.random() < 0.2:
                told = told[: 2 * chance.randrange(len(told) // 2)]
            text = chance.choice((HELLO, WHY, BYE))
            live.append((session, [text, *told], await recording.say(session, text, *told)))
            past[session] = [*told, text, live[-1][2]]
    async with stage(replay=path) as replaying:
        for session in past:
            for said, reply in [(said, reply) for whose, said, reply in live if whose == session]:
                assert await replaying.say(session, *said) == reply
