"""CHAT-17: a turn that fails leaves its session exactly as it was, and evidence beside it."""

import asyncio
import json
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from core_running import Running, Serve, Stream, asked, database, make_core, refused, request, running, until

from greenroom.core.limits import Limits
from greenroom.core.memory import MemoryStore
from greenroom.sdk import Agent, AgentError, Reply, ToolFailed, Turn, World, tool
from greenroom.sdk.testing import play
from greenroom.storage import open_store

WORLD = {"counters": {"a": {"n": 0}}}


@tool
async def add(world: World, key: str = "a") -> int:
    """Adds one."""
    world["counters"][key]["n"] += 1
    return int(world["counters"][key]["n"])


@tool
async def spoil(world: World) -> None:
    """Changes much, then fails."""
    world["counters"]["a"]["n"] = 99
    world["counters"]["b"] = {"n": 1}
    world["more"] = {"x": {"y": [1]}}
    del world["counters"]["a"]
    raise RuntimeError("out of paper")


def counting(name: str = "counting") -> Agent:
    return Agent(name, tools=[add, spoil], world=WORLD)


async def told(core: Running, sid: str = "s1") -> dict[str, Any]:
    """All there is to read of a session."""
    turns = await core.turns(sid)
    return {
        "turns": [turn.SerializeToString(deterministic=True) for turn in turns.turns],
        "worlds": [await core.world(sid, turn=number) for number in range(len(turns.turns) + 1)],
    }


async def test_a_turn_whose_agent_raises_leaves_no_trace_in_the_session_and_evidence_beside_it(serve: Serve) -> None:
    agent = counting()

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        turn.state["seen"] = n
        if turn.text == "fail":
            raise ValueError("secret detail")
        return f"{n} {turn.state['seen']}"

    core = await serve(agent)
    assert (await core.say("one")).text == "1 1"
    before = await told(core)
    failure = await core.refuses("fail", request_id="req_7")
    assert (failure.code, failure.reason, failure.message, failure.retryable) == (
        grpc.StatusCode.INTERNAL,
        "AGENT_FAILED",
        "Internal server error",
        True,
    )
    assert await told(core) == before
    [failed] = (await core.turns()).failed
    assert failed.detail == "ValueError: secret detail"
    assert [message.content for message in failed.messages] == ["fail"]
    assert [call.name for call in failed.tool_calls] == ["add"]
    assert (failed.request_id, failed.failed_at.seconds > 0, failed.duration_us > 0) == ("req_7", True, True)
    assert (await core.say("two")).text == "2 2"


@tool(timeout=30)
async def leave() -> None:
    """Ends the process."""
    sys.exit("no paper")


@tool
def leave_at_once() -> None:
    """Ends the process."""
    sys.exit()


async def test_an_agent_that_would_end_the_process_fails_its_turn_alone(serve: Serve) -> None:
    agent = Agent("leaving", tools=[leave, leave_at_once])

    @agent.reply
    async def reply(turn: Turn) -> str:
        for name in ("leave", "leave_at_once"):
            with pytest.raises(ToolFailed):
                await turn.call(name)
        if turn.text == "go":
            sys.exit(3)
        return "fine"

    core = await serve(agent)
    assert (await core.say("stay")).text == "fine"
    assert (await core.refuses("go")).reason == "AGENT_FAILED"
    [failed] = (await core.turns()).failed
    assert failed.detail == "AgentError: agent leaving called sys.exit(3)"
    results = [json.loads(call.result_json) for call in failed.tool_calls]
    assert [one["error"] for one in results] == [
        {"type": "SystemExit", "message": "no paper"},
        {"type": "SystemExit", "message": ""},
    ]
    assert (await core.say("stay")).number == 2


@pytest.mark.parametrize("form", ["startup", "world"])
async def test_an_agent_that_would_end_the_process_while_it_starts_says_so(form: str) -> None:
    agent = Agent("leaving", world=sys.exit if form == "world" else None)
    agent.reply(lambda turn: "")
    if form == "startup":
        agent.on_startup(sys.exit)
    with pytest.raises(AgentError, match=r"SystemExit|sys\.exit"):
        await play(agent, ["hello"])


async def test_the_first_turn_of_a_session_that_fails_opens_no_session(serve: Serve) -> None:
    agent = counting()

    @agent.reply
    async def reply(turn: Turn) -> str:
        if turn.text == "fail":
            raise ValueError
        return "fine"

    core = await serve(agent)
    await core.refuses("fail", user_id="u1")
    assert (await refused(core.turns())).reason == "SESSION_NOT_FOUND"
    assert (await core.say("hello", user_id="u2")).number == 1
    assert [failed.reason for failed in (await core.turns()).failed] == ["AGENT_FAILED"]


async def overrun_with(serve: Serve, agent: Agent, seconds: float = 0.05) -> Running:
    """The agent's "slow" turn passes its deadline; checks that nothing is left of it."""
    core = await serve(agent, limits=Limits(turn_timeout=seconds))
    assert (await core.say("quick")).text == "1"
    before = await told(core)
    failure = await core.refuses("slow")
    assert (failure.code, failure.reason, failure.retryable) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "TURN_TIMEOUT",
        False,
    )
    assert await told(core) == before
    [failed] = (await core.turns()).failed
    assert failed.reason == "TURN_TIMEOUT"
    assert [call.name for call in failed.tool_calls] == ["add"]
    return core


async def test_an_agent_past_its_deadline_is_cancelled_and_leaves_nothing(serve: Serve) -> None:
    agent, cancelled = counting(), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        if turn.text == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return str(n)

    core = await overrun_with(serve, agent)
    assert cancelled.is_set()
    assert (await core.say("quick")).text == "2"


async def test_a_plain_function_past_its_deadline_is_cut_off_from_its_world(serve: Serve) -> None:
    agent, go_on, after = counting(), threading.Event(), list[BaseException]()
    ended = threading.Event()

    @agent.reply
    def reply(turn: Turn) -> str:
        n = turn.call_sync(add)
        if turn.text == "slow":
            go_on.wait(20)
            for act in (lambda: turn.world["counters"], lambda: turn.call_sync(add)):
                try:
                    act()
                except Exception as error:
                    after.append(error)
            ended.set()
        return str(n)

    core = await overrun_with(serve, agent)
    before = await told(core)
    go_on.set()
    await asyncio.to_thread(ended.wait, 20)
    assert [type(error).__name__ for error in after] == ["WorldError", "ToolFailed"]
    assert await told(core) == before
    assert (await core.say("quick")).text == "2"


async def test_an_agent_that_swallows_its_cancellation_is_left_behind(serve: Serve, caplog: Any) -> None:
    agent, let_go = counting(), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        while turn.text == "slow" and not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return str(n)

    core = await overrun_with(serve, agent)
    assert "does not stop when it is cancelled" in caplog.text
    assert (await core.say("quick")).text == "2"
    let_go.set()


async def test_an_agent_whose_own_task_was_cancelled_has_failed(serve: Serve) -> None:
    agent = counting()

    @agent.reply
    async def reply(turn: Turn) -> str:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner
        return "never"

    core = await serve(agent)
    assert (await core.refuses("hello")).reason == "AGENT_FAILED"
    stream = Stream(core)
    await stream.send({1: request("hello")})
    assert (await stream.failure(1)).reason == "AGENT_FAILED"
    stream.call.cancel()


async def test_what_a_failing_tool_wrote_is_undone_and_the_turn_goes_on(serve: Serve) -> None:
    agent = counting()

    @agent.reply
    async def reply(turn: Turn) -> str:
        await turn.call(add)
        with pytest.raises(ToolFailed) as failed:
            await turn.call(spoil)
        assert (failed.value.type, failed.value.message) == ("RuntimeError", "out of paper")
        return str(await turn.call(add))

    core = await serve(agent)
    answer = await core.say("go")
    assert answer.text == "2"
    assert [(call.name, call.ok, len(call.changes)) for call in answer.tool_calls] == [
        ("add", True, 1),
        ("spoil", False, 0),
        ("add", True, 1),
    ]
    assert answer.tool_calls[1].result_json == '{"error":{"type":"RuntimeError","message":"out of paper"}}'
    assert await core.world() == {"counters": {"a": {"n": 2}}}


async def test_a_tool_still_running_when_its_agent_returns_changes_nothing(serve: Serve) -> None:
    tasks = list[asyncio.Task[Any]]()

    @tool
    async def begin(world: World) -> None:
        """Writes, then waits."""
        world["counters"]["a"]["n"] = 50
        await asyncio.Event().wait()

    agent = Agent("counting", tools=[add, begin], world=WORLD)

    @agent.reply
    async def reply(turn: Turn) -> str:
        await turn.call(add)
        tasks.append(asyncio.ensure_future(turn.call(begin)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    core = await serve(agent)
    answer = await core.say("go")
    tasks[0].cancel()
    assert [(call.name, call.ok) for call in answer.tool_calls] == [("add", True), ("begin", False)]
    assert await core.world() == {"counters": {"a": {"n": 1}}}


async def test_a_reply_that_is_none_is_the_agents_failure(serve: Serve) -> None:
    agent = counting()
    answers = {"none": None, "number": 5, "sure": Reply("x", confidence=2), "nan": Reply("x", evaluation={"a": 1e999})}

    @agent.reply
    async def reply(turn: Turn) -> Any:
        return answers[turn.text]

    core = await serve(agent)
    for text in answers:
        assert (await core.refuses(text)).reason == "AGENT_FAILED"


async def test_a_deadline_that_falls_while_the_commit_is_queued_does_not_undo_it(serve: Serve, tmp_path: Path) -> None:
    agent, at_work = counting(), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        at_work.set()
        return str(n)

    core = await serve(agent, limits=Limits(turn_timeout=0.3))
    await core.say("one")
    at_work.clear()
    lock = sqlite3.connect(tmp_path / "core.db", isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        turn = asyncio.ensure_future(core.say("two"))
        await at_work.wait()
        done, _ = await asyncio.wait([turn], timeout=0.6)
        assert not done
        lock.execute("COMMIT")
    finally:
        lock.close()
    assert (await turn).text == "2"
    assert await core.world() == {"counters": {"a": {"n": 2}}}


async def test_a_database_that_stays_locked_refuses_the_turn_and_stores_nothing(tmp_path: Path) -> None:
    agent = counting()

    @agent.reply
    async def reply(turn: Turn) -> str:
        return str(await turn.call(add))

    store = open_store(database(tmp_path), wait_seconds=0.1)
    async with running(agent, "", store=store) as core:
        await core.say("one")
        before = await told(core)
        lock = sqlite3.connect(tmp_path / "core.db", isolation_level=None)
        try:
            lock.execute("BEGIN IMMEDIATE")
            failure = await core.refuses("two")
            assert (failure.code, failure.reason, failure.retryable, failure.retry_after) == (
                grpc.StatusCode.UNAVAILABLE,
                "DATABASE_UNAVAILABLE",
                True,
                1.0,
            )
        finally:
            lock.close()
        assert await told(core) == before
        assert (await core.say("two")).text == "2"


async def test_a_caller_who_leaves_in_mid_turn_leaves_nothing_behind(serve: Serve) -> None:
    agent, started, stopped = counting(), asyncio.Event(), asyncio.Event()

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        if turn.text == "slow":
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
        return str(n)

    core = await serve(agent)
    await core.say("quick")
    before = await told(core)
    call = core.agents.RunTurn(request("slow"))
    await started.wait()
    call.cancel()
    async with asyncio.timeout(20):
        await stopped.wait()
    await until(lambda: core.core.turns.capacity.running == 0)
    assert await told(core) == before
    assert (await core.say("quick")).text == "2"


async def test_a_commit_that_a_stranger_overtook_runs_the_turn_once_more() -> None:
    agent, keys = counting(), list[str]()
    store = MemoryStore()
    first, second = make_core(agent, store), make_core(agent, store)

    @agent.reply
    async def reply(turn: Turn) -> str:
        keys.append(turn.call_key(0))
        n = await turn.call(add)
        if turn.text == "overtaken" and len(keys) == 2:
            await second.turns.run(asked("overtaker"))
        return str(n)

    await first.start()
    await first.turns.run(asked("one"))
    answer = await first.turns.run(asked("overtaken"))
    assert (answer.turn.reply, answer.turn.number) == ("3", 3)
    assert await store.load_session("", "s1") == answer.session


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1])
async def test_a_reply_larger_than_its_bound_is_refused_and_named(serve: Serve, size: int) -> None:
    agent = counting()

    @agent.reply
    async def reply(turn: Turn) -> str:
        return "x" * size

    core = await serve(agent)
    failure = await core.refuses("much")
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
