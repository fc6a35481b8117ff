"""Cassettes: many sessions whose users say the same, recorded at the same time and each answered otherwise."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenroom.core.agents import Agents
from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.recording import Recording, Talk, key_of
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.core import Core
from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.core.records import Message
from greenroom.core.request import TurnRequest
from greenroom.core.served import Served
from greenroom.sdk import Agent, Turn, tool

HELLO, WHY, BYE = "Hello.", "Why?", "Bye."


def agent_that_varies(answers: Iterator[int]) -> Agent:
    """Its tool and its model answer what comes next, the model is shown all that the tool has answered so far; the user is told
    nothing of it until the end."""

    @tool
    async def read_clock() -> int:
        """Asks outside."""
        await asyncio.sleep(0)
        return next(answers)

    agent = Agent("varies", tools=[read_clock])

    @agent.reply
    async def reply(turn: Turn) -> str:
        seen = [*turn.state.get("seen", []), await turn.call(read_clock), await turn.call(read_clock)]
        turn.state["seen"] = seen

        async def ask() -> Any:
            return {"seen": seen, "thought": next(answers)}

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
async def stage(answers: Iterator[int] | None = None, **rule: str) -> AsyncIterator[Stage]:
    limits = Limits()
    served = Served(agent_that_varies(answers or itertools.count(1)), "varies", limits)
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

    async def go_on(session: str, recording: Stage) -> None:
        told = past[session]
        if told and chance.random() < 0.2:
            told = told[: 2 * chance.randrange(len(told) // 2)]
        text = chance.choice((HELLO, WHY, BYE))
        reply = await recording.say(session, text, *told)
        live.append((session, [text, *told], reply))
        past[session] = [*told, text, reply]

    async with stage(iter(lambda: chance.randrange(3), -1), record=path) as recording:
        for _ in range(6):
            await asyncio.gather(*(go_on(session, recording) for session in chance.sample(list(past), 3)))
    async with stage(replay=path) as replaying:
        for session in past:
            for said, reply in [(said, reply) for whose, said, reply in live if whose == session]:
                assert await replaying.say(session, *said) == reply


@pytest.mark.parametrize("seed", range(110, 118))
async def test_a_session_of_another_id_has_the_answers_of_one_in_all_its_turns(tmp_path: Path, seed: int) -> None:
    path = str(tmp_path / "c.jsonl")
    chance = random.Random(seed)
    live: dict[str, list[str]] = {f"session-{letter}": [] for letter in "abcd"}
    order = [*live] * 3
    chance.shuffle(order)
    async with stage(iter(lambda: chance.randrange(2), -1), record=path) as recording:
        for session in order:
            live[session].append(await recording.say(session, (HELLO, WHY, BYE)[len(live[session])]))
    async with stage(replay=path) as replaying:
        assert [await replaying.say("another", text) for text in (HELLO, WHY, BYE)] in live.values()
        for session, told in live.items():
            assert [await replaying.say(session, text) for text in (HELLO, WHY, BYE)] == told


def recording(session: str, said: str, name: str, answer: bytes) -> Recording:
    of: Any = {"agent": "a", "scenario": "s", "turn": 1, "kind": "tool", "request": msgspec.Raw(b"{}")}
    return Recording(**of, name=name, response=msgspec.Raw(answer), conversation=said, session=session)


def test_a_session_that_was_replayed_and_asked_more_keeps_what_it_was_replayed(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "c.jsonl")
    cassette.add([recording("one", WHY, "clock", b"1")])
    cassette.add([recording("two", HELLO, "clock", b"2")])
    cassette.add([recording("three", HELLO, "other", b"3")], [recording("three", HELLO, "clock", b"2")])
    key = key_of("a", "s", "tool", "clock", b"{}")
    found = [Cassette(cassette.path).find(key, 1, 1, Talk("a", "s", HELLO), each) for each in ("two", "three", "four")]
    assert [bytes(one.response) for one in found if one is not None] == [b"2", b"2", b"2"]


@pytest.mark.parametrize(
    "before",
    [
        [("early", HELLO, b"1"), ("one", WHY, b"2"), ("two", WHY, b"2"), ("early", WHY, b"3")],
        [("one", HELLO, b"2"), ("two", WHY, b"2"), ("early", WHY, b"3")],
        [("early", HELLO, b"1"), ("one", HELLO, b"0"), ("one", WHY, b"2"), ("two", WHY, b"2"), ("early", WHY, b"3")],
    ],
)
def test_whoever_was_answered_as_another_was_is_so_again_whatever_came_after(
    tmp_path: Path, before: Sequence[tuple[str, str, bytes]]
) -> None:
    cassette = Cassette(tmp_path / "c.jsonl")
    for session, said, answer in before:
        cassette.add([recording(session, said, "clock", answer)])
    for read in (cassette, Cassette(cassette.path)):
        found = read.find(key_of("a", "s", "tool", "clock", b"{}"), 1, 1, Talk("a", "s", WHY), "two")
        assert found is not None
        assert bytes(found.response) == b"2"
