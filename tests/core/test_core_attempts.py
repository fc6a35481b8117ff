"""Retries: attempts that are sent again, idempotency keys, ids that stay the same (CHAT-15, CHAT-17)."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from core_running import Running, Serve, Stream, database, request, running, until

from greenroom.sdk import Agent, Call, Turn, World, tool
from greenroom.v1 import agent_pb2, session_pb2


def counting() -> tuple[Agent, list[str]]:
    """Counts its runs, in the world and beside it; fails when told to, after its tool call."""
    ran, keys = list[str](), list[str]()

    @tool
    async def add(world: World, call: Call) -> int:
        """Adds one."""
        world["counters"]["n"] = world["counters"].get("n", 0) + 1
        keys.append(call.key)
        return int(world["counters"]["n"])

    agent = Agent("counting", tools=[add], world={"counters": {}})
    agent.keys = keys  # type: ignore[attr-defined]

    @agent.reply
    async def reply(turn: Turn) -> str:
        ran.append(turn.text)
        n = await turn.call(add)
        if ran.count(turn.text) == 1 and turn.text.startswith("fails once"):
            raise RuntimeError
        return f"{turn.text} {n}"

    return agent, ran


async def test_an_attempt_that_is_sent_again_is_found_and_not_run_again(serve: Serve) -> None:
    agent, ran = counting()
    core = await serve(agent)
    first = await core.say("hello", attempt_id="try-1")
    again = await core.say("hello", attempt_id="try-1", resent=True)
    forgot_to_say = await core.say("hello", attempt_id="try-1")
    first.replayed = True
    assert again == first
    assert forgot_to_say == first
    assert (await core.world())["counters"] == {"n": 1}
    assert ran[:1] == ["hello"]


async def test_an_attempt_sent_again_while_it_runs_gets_the_same_reply(serve: Serve) -> None:
    gate, inside = asyncio.Event(), list[int]()
    agent = Agent("gated")

    @agent.reply
    async def reply(turn: Turn) -> str:
        inside.append(turn.number)
        await gate.wait()
        return "done"

    core = await serve(agent)
    for sid in ("s1", ""):
        gate.clear()
        inside.clear()
        first = asyncio.ensure_future(core.say("hello", sid=sid, attempt_id=f"try-{sid}"))
        await until(lambda: len(inside) == 1)
        again = asyncio.ensure_future(core.say("hello", sid=sid, attempt_id=f"try-{sid}", resent=True))
        await until(lambda: core.server._runner._running == 2)  # type: ignore[union-attr]
        gate.set()
        one, two = await first, await again
        assert (one.completion_id, one.session_id, two.replayed) == (two.completion_id, two.session_id, True)
        assert inside == [1]


async def test_a_minted_session_id_is_the_same_when_its_attempt_is_sent_again(tmp_path: Path) -> None:
    agent, ran = counting()
    async with running(agent, database(tmp_path)) as core:
        first = await core.say("hello", sid="", attempt_id="try-1")
        other = await core.say("hello", sid="", attempt_id="try-2")
    async with running(agent, database(tmp_path)) as core:
        again = await core.say("hello", sid="", attempt_id="try-1", resent=True)
        never_came = await core.say("new", sid="", attempt_id="try-3", resent=True)
        assert (await core.say("next", sid=first.session_id)).number == 2
    assert (again.session_id, again.completion_id, again.replayed) == (first.session_id, first.completion_id, True)
    assert len({first.session_id, other.session_id, never_came.session_id}) == 3
    assert ran == ["hello", "hello", "new", "next"]


@pytest.mark.parametrize(
    "other", [{"sid": "s2"}, {"texts": ["another"]}, {"caller": agent_pb2.Caller(namespace="other")}]
)
async def test_an_attempt_id_used_for_another_request_tells_nothing_of_the_first(
    serve: Serve, other: dict[str, Any]
) -> None:
    agent, _ = counting()
    core = await serve(agent)
    await core.say("secret", attempt_id="1")
    texts = other.pop("texts", ["secret"])
    for resent in (True, False):
        failure = await core.refuses(*texts, attempt_id="1", resent=resent, **other)
        assert (failure.code, failure.reason, list(failure.fields)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "IDEMPOTENCY_KEY_REUSED",
            ["attempt_id"],
        )


async def test_an_idempotency_key_with_the_same_body_returns_the_stored_reply(tmp_path: Path) -> None:
    agent, ran = counting()
    async with running(agent, database(tmp_path)) as core:
        first = await core.say("hello", idempotency_key="k")
        await core.say("in between")
        again = await core.say("hello", idempotency_key="k")
    async with running(agent, database(tmp_path)) as core:
        later = await core.say("hello", idempotency_key="k")
    first.replayed = True
    assert again == first
    assert later == first
    assert ran == ["hello", "in between"]


async def test_an_idempotency_key_with_another_body_is_a_conflict(serve: Serve) -> None:
    core = await serve(counting()[0])
    await core.say("hello", idempotency_key="k")
    failure = await core.refuses("goodbye", idempotency_key="k")
    assert (failure.code, failure.reason, failure.retryable, list(failure.fields)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "IDEMPOTENCY_KEY_REUSED",
        False,
        ["idempotency_key"],
    )
    assert (await core.say("goodbye", sid="s2", idempotency_key="k")).number == 1


async def test_an_idempotency_key_finds_its_reply_without_a_session_id(serve: Serve) -> None:
    agent, ran = counting()
    core = await serve(agent)
    answers = await asyncio.gather(*(core.say("hello", sid="", idempotency_key="k") for _ in range(4)))
    assert len({answer.session_id for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True]
    assert ran == ["hello"]


async def test_an_idempotency_key_is_its_own_in_each_namespace(serve: Serve) -> None:
    agent, ran = counting()
    core = await serve(agent)
    for namespace in ("a", "b"):
        caller = agent_pb2.Caller(namespace=namespace, key_name="key")
        assert not (await core.say("hello", sid="", idempotency_key="k", caller=caller)).replayed
    assert len(ran) == 2


async def test_an_idempotency_key_is_its_own_for_each_api_key_in_one_session(serve: Serve) -> None:
    core = await serve(counting()[0])
    for caller in (agent_pb2.Caller(key_name="a"), agent_pb2.Caller(key_name="b")):
        assert not (await core.say("hello", idempotency_key="k", caller=caller)).replayed
        assert (await core.say("hello", idempotency_key="k", caller=caller)).replayed


async def test_turns_that_say_the_same_after_the_same_turn_have_calls_of_their_own(serve: Serve) -> None:
    core = await serve(counting()[0])
    await core.say("first")
    again = [await core.say("first", "x", "second") for _ in range(2)]
    assert again[0].tool_calls[0].id != again[1].tool_calls[0].id


async def test_a_failure_is_not_kept_under_its_idempotency_key(serve: Serve) -> None:
    agent, ran = counting()
    core = await serve(agent)
    await core.refuses("fails once", idempotency_key="k")
    assert (await core.say("fails once", idempotency_key="k")).text == "fails once 1"
    assert len(ran) == 2


@pytest.mark.parametrize("turns_before", [0, 1])
async def test_a_calls_key_is_the_same_on_every_attempt_and_its_own(serve: Serve, turns_before: int) -> None:
    agent, _ = counting()
    keys: list[str] = agent.keys  # type: ignore[attr-defined]
    core = await serve(agent)
    for sid in ("s1", "s2"):
        for n in range(turns_before):
            await core.say(f"before {n}", sid=sid)
        await core.refuses("fails once " + sid, sid=sid)
        await core.say("fails once " + sid, sid=sid)
        assert keys[-1] == keys[-2]
    caller = agent_pb2.Caller(namespace="other")
    await core.say("fails once s1", caller=caller)
    assert len(set(keys)) == 2 * (turns_before + 1) + 1


async def told(core: Running, sid: str) -> tuple[Any, ...]:
    turns = (await core.turns(sid)).turns
    head, world, _ = await core.world_view(sid)
    return (
        [turn.reply.text for turn in turns],
        [call.id for turn in turns for call in turn.reply.tool_calls],
        [turn.reply.evaluation_json for turn in turns],
        world,
        head.sha256,
    )


async def test_the_same_session_and_messages_come_out_the_same_on_another_database(tmp_path: Path) -> None:
    @tool
    async def dream(world: World, turn: Turn, about: str) -> dict[str, str]:
        """Makes something up."""
        record = {"at": turn.clock.now().isoformat(), "n": str(turn.random.random()), "about": about}
        world["dreams"][turn.ids.new("dream")] = record
        return record

    agent = Agent("dreaming", tools=[dream], world={"dreams": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        first = await turn.call(dream, about=turn.text)
        second = await turn.call(dream, about=turn.text)
        return f"{first} {second} {turn.clock.today()}"

    seen = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        async with running(agent, database(folder)) as core:
            for text in ("hello", "again", "again"):
                await core.say(text, sid="s1")
            await core.say("hello", sid="s2")
            seen.append([await told(core, "s1"), await told(core, "s2")])
    assert seen[0] == seen[1]
    replies, ids, _, world, _ = seen[0][0]
    assert len(set(replies)) == len(replies)
    assert len(set(ids)) == len(ids) == 6
    assert seen[0][1][0][0] != replies[0]
    assert {record["at"] for record in world["dreams"].values()} == {
        f"2024-01-21T10:3{minute}:0{second}+00:00" for minute in range(3) for second in (1, 2)
    }


async def test_a_stream_that_breaks_does_not_stop_its_turns(serve: Serve) -> None:
    agent, gate, inside = Agent("gated"), asyncio.Event(), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        inside.set()
        await gate.wait()
        return "kept"

    core = await serve(agent)
    stream = Stream(core)
    await stream.send({1: request("hello", attempt_id="a")})
    await inside.wait()
    stream.call.cancel()
    again = Stream(core)
    await again.send({7: request("hello", attempt_id="a", resent=True)})
    await until(lambda: core.server._runner._running == 2)  # type: ignore[union-attr]
    gate.set()
    reply_ = await again.reply(7)
    assert (reply_.text, reply_.number, reply_.replayed) == ("kept", 1, True)
    again.call.cancel()
    assert (await core.sessions.GetSession(session_pb2.GetSessionRequest(session_id="s1"))).session.turn_count == 1
