"""Agents in every form their authors may write them, and what watches over them (GRPC-01, SEC-06)."""

import asyncio
import gc
import io
import json
import logging
import re
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from core_running import Serve, asked, database, make_core, until

from greenroom.core.agent import AgentError, as_agent
from greenroom.core.errors import InvalidRequest
from greenroom.core.limits import Limits
from greenroom.core.plain import WorldError, to_json
from greenroom.core.rpc.server import CoreServer, Listeners
from greenroom.core.rpc.watchdog import Watchdog
from greenroom.core.served import Served
from greenroom.core.waiting import Capacity
from greenroom.sdk import Agent, Call, Reply, Turn, Usage, World, tool
from greenroom.sdk import AgentError as PublicAgentError
from greenroom.sdk.testing import play
from greenroom.storage import open_store
from greenroom.v1 import agent_pb2


@tool
def look(world: World, key: str) -> Any:
    """Looks something up."""
    return world["things"][key]


async def with_coroutine(turn: Turn) -> str:
    """Answers as a coroutine."""
    turn.say("Well, ")
    return "hello"


def with_function(turn: Turn) -> Reply:
    turn.say("Well, ")
    return Reply("hello", confidence=0.5)


async def with_generator(turn: Turn) -> Any:
    yield "Well, "
    yield "hel"
    yield Reply("lo", confidence=0.5)


@pytest.mark.parametrize("function", [with_coroutine, with_function, with_generator], ids=lambda f: f.__name__)
async def test_an_agent_may_be_written_as(serve: Serve, function: Any) -> None:
    core = await serve(as_agent(function, "mine"))
    assert (await core.say("hi")).text == "Well, hello"


async def test_a_bare_function_has_the_tools_of_its_module(serve: Serve) -> None:
    core = await serve(as_agent(with_coroutine, "mine"))
    [info] = (await core.agents.ListAgents(agent_pb2.ListAgentsRequest())).agents
    assert (info.id, info.description, list(info.tools)) == ("mine", "Answers as a coroutine.", ["look"])


@pytest.mark.parametrize("target", [None, 5, "text", Agent("without a reply"), Agent])
def test_what_is_no_agent_is_refused_with_a_reason(target: Any) -> None:
    with pytest.raises(AgentError):
        as_agent(target, "it")
    assert PublicAgentError is AgentError


async def test_a_world_is_read_from_json_and_yaml(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"things": {"a": 1}}')
    (tmp_path / "w.yaml").write_text("things:\n  2: 2024-01-21\n")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "open.yaml").write_text("a: 1\nb: [\n")
    assert Agent("a", world=tmp_path / "w.json").load_world().data == {"things": {"a": 1}}
    assert Agent("a", world=str(tmp_path / "w.yaml")).load_world().data == {"things": {"2": "2024-01-21"}}
    said = {
        "bad.json": "bad.json is not valid JSON: Expecting",
        "list.yaml": "the world is a list, not a mapping of collections",
        "open.yaml": "open.yaml, line 3, is not valid YAML: ",
        "none.json": "No such file or directory (looked in ",
    }
    for name, words in said.items():
        with pytest.raises(AgentError, match=re.escape(words)) as problem:
            Agent("a", world=tmp_path / name).load_world()
        assert "\n" not in str(problem.value)


def test_a_world_that_cannot_be_made_says_what_its_function_raised() -> None:
    with pytest.raises(AgentError, match="agent a: making its world failed: KeyError: 'shop'") as problem:
        Agent("a", world=lambda: {}["shop"]).load_world()
    assert isinstance(problem.value.__cause__, KeyError)


def test_a_reply_function_takes_the_turn_alone() -> None:
    for wrong in (lambda: "", lambda turn, more: ""):
        with pytest.raises(AgentError, match="agent a: a reply function takes a Turn and nothing else: "):
            Agent("a").reply(wrong)


def test_a_parameter_that_cannot_come_as_json_is_named() -> None:
    @tool
    def look_up(key: str, where: Limits, by: Path | Capacity) -> str:
        """Looks something up."""
        return key

    agent = Agent("a", tools=[look_up])
    agent.reply(with_coroutine)
    with pytest.raises(AgentError) as problem:
        Served(agent, "a", Limits())
    assert str(problem.value).startswith("agent a, tool look_up: parameter by: a ")
    assert "Capacity cannot be given as JSON; a TypedDict, " in str(problem.value)


async def test_start_up_and_shutdown_run_once_in_order(serve: Serve, tmp_path: Path) -> None:
    did: list[str] = []
    agent = as_agent(with_coroutine, "mine")
    agent.on_startup(lambda: did.append("up 1"))

    @agent.on_startup
    async def up() -> None:
        did.append("up 2")

    agent.on_shutdown(lambda: did.append("down 1"))
    agent.on_shutdown(lambda: did.append("down 2"))
    core = make_core(agent, open_store(database(tmp_path)))
    await core.start()
    await core.stop()
    assert did == ["up 1", "up 2", "down 2", "down 1"]


async def test_play_runs_a_session_without_a_server() -> None:
    agent = Agent("counting", tools=[look], world={"things": {"a": 1}})

    @agent.reply
    async def reply(turn: Turn) -> Reply:
        turn.world["things"]["a"] += 1
        n = await turn.call(look, key="a")
        return Reply(f"{turn.user.profile.get('name')} {n} {turn.metadata}", evaluation={"n": n})

    one, two = await play(agent, ["hi", "again"], user_id="u", profile={"name": "Ann"}, metadata={"m": 1})
    assert (one.text, two.text) == ("Ann 2 {'m': 1}", "Ann 3 {'m': 1}")
    assert (one.turn, one.history, two.turn, two.history) == (1, "new", 2, "next")
    assert (two.world, two.evaluation["n"], two.tool_calls[0].result_json) == ({"things": {"a": 3}}, 3, "3")
    whole = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    [carried] = await play(agent, [whole])
    assert (carried.history, carried.turn) == ("adopted", 2)
    with pytest.raises(InvalidRequest):
        await play(agent, [[]])


async def test_two_sessions_that_are_played_never_meet() -> None:
    @tool
    async def put(world: World, key: str) -> int:
        """Puts something."""
        world["things"][key] = 1
        return len(world["things"])

    agent = Agent("putting", tools=[put], world={"things": {}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        return str(await turn.call(put, key=turn.text))

    for _ in range(2):
        [one] = await play(agent, ["a"])
        assert one.text == "1"


def block_the_loop(until_said: threading.Event) -> None:
    until_said.wait(20)


class Listener(logging.Handler):
    """Gathers what is logged, and says when something is."""

    def __init__(self) -> None:
        super().__init__()
        self.said = threading.Event()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()
        self.said.set()


async def test_code_that_blocks_the_loop_is_named_in_the_log() -> None:
    watchdog, listener = Watchdog(limit=0.05), Listener()
    logger = logging.getLogger("greenroom.core.rpc.watchdog")
    logger.addHandler(listener)
    watchdog.start()
    try:
        block_the_loop(listener.said)
    finally:
        watchdog.stop()
        logger.removeHandler(listener)
    assert "the event loop has been blocked" in listener.text
    assert "until_said.wait(20)" in listener.text


async def test_each_turn_has_a_line_in_the_log_with_who_what_and_how_it_went(tmp_path: Path) -> None:
    agent = Agent("logged", tools=[look], world={"things": {"a": 1}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        if turn.text == "fail":
            raise RuntimeError("sk-secret")
        return str(await turn.call(look, key="a"))

    log = io.BytesIO()
    server = CoreServer(make_core(agent, open_store(database(tmp_path))), Listeners(port=0), turn_log=log)
    await server.start()
    try:
        runner = server._runner
        assert runner is not None
        await runner.run(asked("hi", user_id="ann", request_id="req_1"))
        with pytest.raises(Exception, match="Internal server error"):
            await runner.run(asked("fail", request_id="req_2"))
        await until(lambda: log.getvalue().count(b"\n") == 2)
    finally:
        await server.stop()
    ok, failed = (json.loads(line) for line in log.getvalue().splitlines())
    assert (ok["event"], ok["outcome"], ok["request_id"], ok["user_id"], ok["session_id"]) == (
        "turn",
        "ok",
        "req_1",
        "ann",
        "s1",
    )
    assert (ok["turn"], ok["history"], ok["tools"], ok["duration_ms"] > 0) == (1, "new", ["look"], True)
    assert (failed["outcome"], failed["request_id"]) == ("agent_failed", "req_2")
    assert b"sk-secret" not in log.getvalue()


async def test_a_slow_turn_is_warned_of(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    core = await serve(as_agent(with_coroutine, "mine"), limits=Limits(slow_turn=0))
    await core.say("hi", request_id="req_9")
    assert "slow turn" in caplog.text
    assert "req_9" in caplog.text


def test_a_start_that_is_not_json_is_refused() -> None:
    agent = Agent("a", world={"things": {"a": object()}})
    agent.reply(with_coroutine)
    with pytest.raises(Exception, match="the starting world is not JSON"):
        Served(agent, "a", Limits())


async def test_an_agent_sees_what_it_is_told_of_its_turn(serve: Serve) -> None:
    agent = Agent("seeing", instructions="Be kind.")

    @agent.reply
    async def reply(turn: Turn) -> str:
        left = turn.time_left
        await asyncio.sleep(0)
        return json.dumps(
            [turn.number, turn.session_id, turn.chat_id, turn.instructions, dict(turn.options), 0 < left <= 60]
        )

    core = await serve(agent)
    answer = await core.say("hi", options_json='{"temperature": 0.2}')
    assert json.loads(answer.text) == [1, "s1", answer.chat_id, "Be kind.", {"temperature": 0.2}, True]


async def test_nothing_of_a_turn_waits_for_the_garbage_collector(serve: Serve) -> None:
    """Circles among its parts would: with hundreds of turns a second that is a good part of what the core does."""
    agent = Agent("leaving", tools=[look], world={"things": {"a": {"n": 1}}})
    turns: list[weakref.ref[Turn]] = []

    @agent.reply
    async def reply(turn: Turn) -> str:
        turns.append(weakref.ref(turn))
        turn.world["things"]["b"] = await turn.call(look, key="a")
        await turn.tools.run([{"id": "1", "function": {"name": "look", "arguments": '{"key": "nowhere"}'}}])
        return str(turn.text)

    core = await serve(agent)
    gc.disable()
    try:
        for number in range(3):
            await core.say(f"hi {number}")
        await until(lambda: all(turn() is None for turn in turns))
    finally:
        gc.enable()
    assert len(turns) == 3


def test_what_holds_itself_is_no_json_and_the_message_says_so() -> None:
    holds_itself: dict[str, Any] = {}
    holds_itself["it"] = [holds_itself]
    with pytest.raises(WorldError, match=r"the value is not JSON: Circular reference detected"):
        to_json(holds_itself)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WorldError, match=r"the value is not JSON: maximum recursion depth exceeded"):
        to_json(deep)
    assert to_json({"a": [1, None, "ä"]}) == '{"a":[1,null,"ä"]}'


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(("given", "seen"), [(TRACE, TRACE), ("", ""), ("a\r\nb: c", ""), (TRACE + "x", "")])
async def test_the_trace_of_a_request_reaches_the_agent_and_its_tools(serve: Serve, given: str, seen: str) -> None:
    @tool
    def ask(call: Call) -> str:
        """Says what it would pass on."""
        return call.traceparent

    agent = Agent("tracing", tools=[ask])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps([turn.traceparent, await turn.call(ask)])

    core = await serve(agent)
    assert json.loads((await core.say("hi", traceparent=given)).text) == [seen, seen]


async def test_what_a_model_has_counted_is_the_usage(serve: Serve) -> None:
    async def reply(turn: Turn) -> Any:
        turn.say("Well, ")
        match turn.text:
            case "counted":
                return Reply("hello", usage=Usage(prompt_tokens=812, completion_tokens=40))
            case "wrong":
                return Reply("hello", usage=Usage(prompt_tokens=-1, completion_tokens=40))
        return Reply("")

    core = await serve(as_agent(reply, "counting"))
    used = (await core.say("counted")).usage
    assert (used.prompt_tokens, used.completion_tokens) == (812, 40)
    [turn] = (await core.turns()).turns
    assert turn.reply.usage == used
    assert (await core.say("by the rule")).usage.completion_tokens == 2
    assert (await core.refuses("wrong")).reason == "AGENT_FAILED"


async def test_no_usage_is_zero(serve: Serve) -> None:
    async def reply(turn: Turn) -> str:
        return ""

    used = (await (await serve(as_agent(reply, "silent"))).say("")).usage
    assert used.prompt_tokens > 0
    assert used.completion_tokens == 1
