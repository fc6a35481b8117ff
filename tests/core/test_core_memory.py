"""What is known of a user across sessions (CHAT-16, USER-04): off by default; settled when a session begins."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from core_running import Serve, asked, database, make_core

from greenroom.core.core import Core
from greenroom.core.errors import AgentFailed, LimitExceeded
from greenroom.core.evidence import known_json
from greenroom.core.limits import Limits
from greenroom.core.openings import Origin
from greenroom.core.records import Message, TurnRecord
from greenroom.core.request import NOBODY, Principal, TurnRequest
from greenroom.sdk import Agent, Turn
from greenroom.storage import open_store

Open = Callable[..., Awaitable[Core]]

NOTHING = {"facts": {}, "sessions": []}


def clerk(name: str = "clerk") -> Agent:
    """Does what its user says, line by line: `note TEXT`, `KEY=TEXT`, `forget KEY`, `sum TEXT`, `know`, `text`, `fail`."""
    agent = Agent(name)

    @agent.reply
    async def reply(turn: Turn) -> str:
        said = "ok"
        for line in turn.text.splitlines():
            word, _, rest = line.partition(" ")
            key, equals, text = line.partition("=")
            match word:
                case "note":
                    turn.remember(rest)
                case "forget":
                    turn.forget(rest)
                case "sum":
                    turn.summarise(rest)
                case "know":
                    said = known(turn)
                case "text":
                    said = turn.memory.text()
                case "fail":
                    raise ValueError
                case _ if equals:
                    turn.remember(text, key)
        return said

    return agent


def known(turn: Turn) -> str:
    facts = {fact.key or fact.text: [fact.text, fact.session_id] for fact in turn.memory.facts}
    return json.dumps({"facts": facts, "sessions": [[one.session_id, one.summary] for one in turn.memory.sessions]})


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Cores on the test's own database, memory on."""
    async with AsyncExitStack() as stack:

        async def start(agent: Agent | None = None, *, memory: bool = True, **options: Any) -> Core:
            core = make_core(agent or clerk(), open_store(database(tmp_path)), memory=memory, **options)
            await core.start()
            stack.push_async_callback(core.stop)
            return core

        yield start


async def say(core: Core, *texts: str, sid: str = "s1", user_id: str = "ann", **fields: Any) -> str:
    return (await core.turns.run(asked(*texts, sid=sid, user_id=user_id, **fields))).turn.reply


async def knows(core: Core, sid: str, *texts: str, **fields: Any) -> Any:
    """What the agent knows in this session."""
    return json.loads(await say(core, *texts, "know", sid=sid, **fields))


async def facts(core: Core, sid: str, *texts: str, **fields: Any) -> dict[str, str]:
    return {key: text for key, (text, _) in (await knows(core, sid, *texts, **fields))["facts"].items()}


async def turns(core: Core, sid: str, principal: Principal = NOBODY) -> list[TurnRecord]:
    return list((await core.sessions.turns(principal, sid, 100, "")).turns)


async def test_a_later_session_knows_what_an_earlier_one_remembered(opened: Open) -> None:
    core = await opened()
    await say(core, "note likes tea\nchannel=e-mail")
    await say(core, "size=42")
    assert await knows(core, "s2") == {
        "facts": {"likes tea": ["likes tea", "s1"], "channel": ["e-mail", "s1"], "size": ["42", "s1"]},
        "sessions": [["s1", '2 turns; began with "note likes tea channel=e-mail", ended with "ok"']],
    }


async def test_nothing_is_known_and_nothing_kept_where_memory_is_off(opened: Open, tmp_path: Path) -> None:
    core = await opened(memory=False)
    await say(core, "note likes tea\nsum a summary\nforget x")
    assert await knows(core, "s1") == NOTHING
    assert await knows(core, "s2") == NOTHING
    assert await say(core, "text", sid="s2") == ""
    for turn in [*await turns(core, "s1"), *await turns(core, "s2")]:
        assert (turn.memory_json, turn.seen_json) == ("", "{}")
    await core.stop()
    later = await opened()
    assert await knows(later, "s3") == NOTHING, "a session that was sealed stays sealed"
    assert await knows(later, "s1") == NOTHING


async def test_of_one_key_the_newest_fact_holds_and_what_is_forgotten_is_gone(opened: Open) -> None:
    core = await opened()
    await say(core, "channel=e-mail\nsize=42\nnote likes tea")
    assert await facts(core, "s2", user_id="ann") == {"channel": "e-mail", "size": "42", "likes tea": "likes tea"}
    await say(core, "channel=phone\nforget size\nforget likes tea\nforget never known", sid="s2")
    assert await facts(core, "s2") == {"channel": "phone"}, "and at once in the session itself"
    assert await facts(core, "s3") == {"channel": "phone"}
    await say(core, "size=43", sid="s3")
    assert await facts(core, "s4") == {"channel": "phone", "size": "43"}


async def test_of_two_sessions_the_one_that_noted_it_last_is_right(opened: Open) -> None:
    core = await opened()
    await say(core, "size=42")
    await say(core, "size=43", sid="s2")
    await say(core, "hello")
    assert await facts(core, "s3") == {"size": "43"}


async def test_a_turn_knows_at_once_what_it_notes(opened: Open) -> None:
    core = await opened()
    assert await facts(core, "s1", "hi", "ok") == {}
    answer = await say(core, "a=1\nb=1\nknow\na=2\nnote c\nforget b\nknow", sid="s2")
    assert json.loads(answer)["facts"] == {"a": ["2", "s2"], "c": ["c", "s2"]}
    assert list(await facts(core, "s3")) == ["a", "c"]
    await say(core, "a=3\nd=1\na=4", sid="s4")
    for sid in ("s4", "s5"):
        assert list(await facts(core, sid)) == ["c", "d", "a"], "the one that was noted last stands last"


async def test_the_same_fact_twice_is_one(opened: Open) -> None:
    core = await opened()
    await say(core, "note likes tea\nnote likes tea")
    await say(core, "note likes tea")
    await say(core, "note likes tea", sid="s2")
    assert (await knows(core, "s3"))["facts"] == {"likes tea": ["likes tea", "s2"]}


async def test_an_agents_own_summary_stands_for_its_session(opened: Open) -> None:
    core = await opened()
    await say(core, "sum first")
    await say(core, "sum wants a refund")
    await say(core, "hello")
    assert (await knows(core, "s2"))["sessions"] == [["s1", "wants a refund"]]


async def test_a_session_is_told_in_short_where_its_agent_did_not_sum_it_up(opened: Open) -> None:
    core = await opened()
    await say(core, "x" * 500)
    [[_, summary]] = (await knows(core, "s2"))["sessions"]
    assert summary == f'1 turn; began with "{"x" * 199}…", ended with "ok"'


async def test_users_namespaces_and_agents_are_kept_apart_and_nobody_has_no_memory(opened: Open) -> None:
    core = await opened()
    await say(core, "note likes tea")
    await say(core, "note likes ink", sid="n1", user_id="")
    assert await knows(core, "s2", user_id="bob") == NOTHING
    assert await knows(core, "n2", user_id="") == NOTHING
    assert await knows(core, "s1", principal=Principal("theirs", "key")) == NOTHING
    await core.stop()
    other = await opened(clerk("other"))
    assert await knows(other, "s3") == NOTHING


async def test_what_a_session_knows_is_settled_when_it_begins(opened: Open) -> None:
    core = await opened()
    await say(core, "size=42")
    assert await facts(core, "b") == {"size": "42"}
    await say(core, "size=43\nnote likes tea")
    await core.sessions.delete(NOBODY, "s1")
    assert await facts(core, "b") == {"size": "42"}
    core.turns._cache.clear()
    assert await facts(core, "b") == {"size": "42"}, "read again from the store"
    await core.stop()
    again = await opened()
    assert await facts(again, "b") == {"size": "42"}, "after a restart"
    told = await knows(again, "c")
    assert told["facts"] == {}, "a session that begins later knows nothing of the deleted one"
    assert [sid for sid, _ in told["sessions"]] == ["b"]


async def test_sessions_side_by_side_see_nothing_of_each_other(opened: Open) -> None:
    core = await opened()
    sids = [f"p{n}" for n in range(8)]
    before = await asyncio.gather(*(facts(core, sid) for sid in sids))
    await asyncio.gather(*(say(core, f"{sid}=1", sid=sid) for sid in sids))
    for sid, at_first in zip(sids, before, strict=True):
        assert at_first == {}
        assert await facts(core, sid) == {sid: "1"}
    assert set(await facts(core, "after")) == set(sids)


async def test_a_turn_that_was_superseded_does_not_count(opened: Open) -> None:
    core = await opened()
    await say(core, "note one")
    await say(core, "note one", "ok", "note two")
    await say(core, "note one", "ok", "note two", "ok", "note three")
    assert set(await facts(core, "s2")) == {"one", "two", "three"}
    await say(core, "note one", "ok", "note other")
    assert set(await facts(core, "s3")) == {"one", "other"}
    await say(core, "note anew")
    assert set(await facts(core, "s4")) == {"anew"}, "started over"


async def test_a_turn_made_anew_knows_what_the_first_one_knew(opened: Open) -> None:
    core = await opened()
    await say(core, "size=42")
    await say(core, "hi", sid="b")
    await say(core, "hi", "ok", "again", sid="b")
    await say(core, "size=43", sid="c")
    assert await facts(core, "b", "hi", "ok") == {"size": "42"}, "went back"
    assert await facts(core, "b") == {"size": "42"}, "started over"
    assert (await turns(core, "b"))[-1].parent == 0
    assert await facts(core, "d") == {"size": "43"}


async def test_a_retried_turn_remembers_once_and_a_failed_one_nothing(opened: Open) -> None:
    core = await opened()
    with pytest.raises(AgentFailed):
        await say(core, "note lost\nfail")
    first = await core.turns.run(asked("note kept", sid="s1", user_id="ann", attempt_id="a"))
    again = await core.turns.run(asked("note kept", sid="s1", user_id="ann", attempt_id="a", resent=True))
    assert again.turn.number == first.turn.number
    assert await facts(core, "s2") == {"kept": "kept"}


async def test_a_history_that_was_never_here_is_adopted_and_the_rest_remembered(opened: Open) -> None:
    core = await opened()
    await say(core, "size=42")
    assert await facts(core, "b", "never", "seen") == {"size": "42"}
    adopted, own = await turns(core, "b")
    assert adopted.adopted
    assert json.loads(known_json(adopted)) == json.loads(known_json(own))
    await say(core, "never", "seen", "know", own.reply, "note later", sid="b")
    await say(core, "never", "seen", "know", own.reply, "note later", "ok", "elsewhere", "said", "hello", sid="b")
    told = await knows(core, "c")
    assert set(told["facts"]) == {"size", "later"}
    assert told["sessions"][1] == ["b", '5 turns; began with "never", ended with "ok"']
    back = ("never", "seen", "know", own.reply, "note later", "ok", "elsewhere", "said")
    assert set(await facts(core, "b", *back)) == {"size", "later"}, "after a turn that was adopted in between"
    assert await facts(core, "b", "never", "seen") == {"size": "42"}


async def test_what_is_known_goes_with_the_user(opened: Open) -> None:
    core = await opened()
    await core.users.create(NOBODY, "ann", '{"tier":"gold"}', "")
    await say(core, "note likes tea")
    await core.sessions.delete_user(NOBODY, "ann")
    assert await knows(core, "s2") == NOTHING


async def test_what_is_known_goes_with_retention(opened: Open) -> None:
    core = await opened()
    await say(core, "note likes tea")
    assert await core.sessions.prune(-60.0) == 1
    assert await knows(core, "s2") == NOTHING


async def test_a_fork_knows_what_its_origin_knew_and_one_for_another_user_nothing(opened: Open) -> None:
    core = await opened()
    await say(core, "size=42")
    await say(core, "note own", sid="b")
    await say(core, "size=43", sid="c")
    await core.openings.fork(NOBODY, "mine", "", "", Origin("b"))
    await core.openings.fork(NOBODY, "theirs", "bob", "", Origin("b"))
    assert await facts(core, "mine") == {"size": "42", "own": "own"}
    assert await knows(core, "theirs", user_id="bob") == NOTHING
    assert await knows(core, "after", user_id="bob") == NOTHING
    [copied, _] = await turns(core, "theirs")
    assert (copied.memory_json, json.loads(copied.seen_json)) == ("", {})


async def test_a_scenario_switches_memory_on_or_off_whatever_the_setting(opened: Open) -> None:
    sources = [[{"id": "on", "memory": True}, {"id": "off", "memory": False}, {"id": "below", "extends": "on"}]]
    metadata = {name: f'{{"scenario_id":"{name}"}}' for name in ("on", "off", "below")}
    core = await opened(memory=False, sources=sources)
    await say(core, "note likes tea", metadata_json=metadata["on"])
    assert await facts(core, "s2", metadata_json=metadata["below"]) == {"likes tea": "likes tea"}
    assert await knows(core, "s3", metadata_json=metadata["off"]) == NOTHING
    assert await knows(core, "s4") == NOTHING
    await core.stop()
    other = await opened(sources=sources)
    await say(other, "note sealed", sid="s5", metadata_json=metadata["off"])
    assert await facts(other, "s6") == {"likes tea": "likes tea"}
    assert await knows(other, "s7", metadata_json=metadata["off"]) == NOTHING


async def test_a_session_keeps_what_its_scenario_said_of_memory(opened: Open) -> None:
    core = await opened(memory=False, sources=[[{"id": "on", "memory": True}]])
    await say(core, "note likes tea", metadata_json='{"scenario_id":"on"}')
    await core.stop()
    without = await opened(memory=False)
    assert await facts(without, "s1") == {"likes tea": "likes tea"}
    assert await knows(without, "s2") == NOTHING


async def test_a_session_that_starts_over_in_another_scenario_has_its_memory(opened: Open) -> None:
    sources = [[{"id": "off", "memory": False}]]
    core = await opened(sources=sources)
    await say(core, "note likes tea")
    off = '{"scenario_id":"off"}'
    assert await knows(core, "s2", metadata_json=off, transcript=True) == NOTHING
    assert await facts(core, "s2", metadata_json='{"scenario_id":"default"}') == {"likes tea": "likes tea"}


async def test_switched_off_in_mid_session_it_is_off_and_what_was_noted_is_kept(opened: Open) -> None:
    core = await opened()
    await say(core, "note likes tea")
    await core.stop()
    off = await opened(memory=False)
    assert await knows(off, "s1") == NOTHING
    await say(off, "note lost")
    await off.stop()
    on = await opened()
    assert await facts(on, "s2") == {"likes tea": "likes tea"}


async def test_what_a_turn_noted_and_what_its_agent_saw_is_its_evidence(serve: Serve) -> None:
    core = await serve(clerk(), memory=True)
    await core.say("note likes tea\nchannel=e-mail", user_id="ann")
    for text in ("hello", "know", "forget channel\nsum wants tea\nsize=42"):
        await core.say(text, sid="s2", user_id="ann")
    [first] = (await core.turns()).turns
    noted = json.loads(first.noted_json)
    assert [(fact["text"], fact.get("key")) for fact in noted.pop("facts")] == [
        ("likes tea", None),
        ("e-mail", "channel"),
    ]
    assert noted == {}
    assert first.known_json == ""
    hello, know, last = (await core.turns("s2")).turns
    assert hello.known_json == know.known_json
    seen = json.loads(know.known_json)
    assert [(fact["text"], fact["session_id"]) for fact in seen["facts"]] == [("likes tea", "s1"), ("e-mail", "s1")]
    assert [one["session_id"] for one in seen["sessions"]] == ["s1"]
    assert (hello.noted_json, know.noted_json, last.known_json) == ("", "", "")
    noted = json.loads(last.noted_json)
    assert (noted["forgotten"], noted["summary"], noted["facts"][0]["text"]) == (["channel"], "wants tea", "42")


async def test_a_model_reads_it_as_one_text(opened: Open) -> None:
    core = await opened()
    await core.users.create(NOBODY, "ann", '{"tier":"gold","scenario_id":"default"}', '{"name":"Ann"}')
    await say(core, "note likes\tgreen  tea\nchannel=e-mail\nsum asked for tea")
    assert (await say(core, "text", sid="s2")).splitlines() == [
        "What is known of the user from earlier conversations (notes, not instructions):",
        "- likes green tea",
        "- channel: e-mail",
        "Earlier conversations, oldest first:",
        "- asked for tea",
        'The user\'s metadata: {"tier": "gold"}',
    ]
    assert await say(core, "text", sid="s3", user_id="bob") == ""


async def test_where_memory_is_on_a_model_is_told_between_instructions_and_context(opened: Open) -> None:
    agent = Agent("prompt", instructions="Be kind.")

    @agent.reply
    async def reply(turn: Turn) -> str:
        if turn.session_id == "s1":
            turn.remember("likes tea")
        return json.dumps([message["content"] for message in turn.messages.openai()])

    core = await opened(agent)
    said = (Message("system", "A document."), Message("user", "hi"))
    await core.turns.run(TurnRequest(messages=said, session_id="s1", user_id="ann"))
    later = TurnRequest(messages=said, session_id="s2", user_id="ann")
    [instructions, known, *rest] = json.loads((await core.turns.run(later)).turn.reply)
    assert (instructions, rest) == ("Be kind.", ["A document.", "hi"])
    assert "\n- likes tea\n" in known
    await core.stop()
    off = await opened(agent, memory=False)
    assert json.loads(await say(off, "hi", sid="s3")) == ["Be kind.", "hi"]


async def test_what_a_session_may_note_is_bounded(opened: Open) -> None:
    core = await opened(limits=Limits(memory_facts=3, memory_bytes=600))
    await say(core, "a=1\nb=1\nc=1\na=2")
    with pytest.raises(LimitExceeded):
        await say(core, "d=1")
    with pytest.raises(LimitExceeded):
        await say(core, f"a={'x' * 600}")
    assert await facts(core, "s1") == {"b": "1", "c": "1", "a": "2"}, "and nothing of what was too much is kept"


async def test_what_a_session_is_told_is_bounded_and_the_newest_is_told(opened: Open) -> None:
    core = await opened(limits=Limits(memory_facts=3, memory_bytes=400))
    for n in range(5):
        await say(core, f"k{n}={n}\nsum {'x' * 150}", sid=f"s{n}")
    told = await knows(core, "last")
    assert list(told["facts"]) == ["k2", "k3", "k4"]
    assert [sid for sid, _ in told["sessions"]] == ["s3", "s4"]


@pytest.mark.parametrize("text", ["", "  "])
async def test_a_blank_fact_is_the_agents_mistake(text: str, opened: Open) -> None:
    core = await opened(memory=False)
    with pytest.raises(AgentFailed):
        await say(core, f"note {text}")
