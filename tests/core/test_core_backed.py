"""What an agent has that stands on something else: calls that run elsewhere, tools known by a schema, what it says of its
reply and of its health, and how many of its turns run at once."""

import asyncio
import json
import logging
from typing import Any

import grpc
import pytest
from core_running import Serve, until
from grpc_health.v1 import health_pb2

from greenroom.core.agent import as_agent
from greenroom.core.agents import Agents
from greenroom.core.errors import AgentFailed
from greenroom.core.limits import Limits
from greenroom.core.served import Served
from greenroom.sdk import (
    Agent,
    AgentUnavailable,
    ConversationTooLong,
    OutsideCall,
    Reply,
    Tool,
    ToolFailed,
    Turn,
    World,
    WorldError,
    tool,
)
from greenroom.sdk.testing import play

SERVING = health_pb2.HealthCheckResponse.SERVING


@tool
def count(world: World) -> int:
    """Counts."""
    world["counts"]["n"] += 1
    return int(world["counts"]["n"])


def shown(calls: Any) -> list[tuple[str, Any, Any, bool]]:
    return [(call.name, json.loads(call.arguments_json), json.loads(call.result_json), call.ok) for call in calls]


async def test_calls_that_run_elsewhere_are_recorded_in_order_of_start() -> None:
    agent = Agent("mixed", tools=[count], world={"counts": {"n": 0}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        slow = turn.outside("slow", {"q": 1}, id="their-id")
        await turn.call(count)
        bad = turn.outside("bad", {})
        bad.failed("not_found", "No such thing.")
        bad.returned("too late")
        slow.returned([1, {"a": None}])
        turn.outside("never ends", {"\ud800": 1})
        return "done"

    [played] = await play(agent, ["hi"])
    assert shown(played.tool_calls) == [
        ("slow", {"q": 1}, [1, {"a": None}], True),
        ("count", {}, 1, True),
        ("bad", {}, {"error": {"type": "not_found", "message": "No such thing."}}, False),
        (
            "never ends",
            {"?": 1},
            {"error": {"type": "cancelled", "message": "it was cancelled before it had an answer"}},
            False,
        ),
    ]
    assert played.tool_calls[0].id == "their-id"
    assert [len(call.changes) for call in played.tool_calls] == [0, 1, 0, 0]


async def test_calls_that_run_elsewhere_keep_the_bounds(serve: Serve) -> None:
    kept: list[OutsideCall] = []

    async def reply(turn: Turn) -> str:
        if turn.text == "many":
            for _ in range(3):
                turn.outside("x", {}).returned(1)
        if turn.text == "large":
            turn.outside("x", {}).returned("a" * 101)
        if turn.text == "no json":
            with pytest.raises(WorldError):
                turn.outside("x", {}).returned(object())
        kept.append(turn.outside("x", {}))
        return "done"

    core = await serve(as_agent(reply, "bounded"), limits=Limits(turn_tool_calls=2, tool_result_bytes=100))
    assert (await core.refuses("many")).reason == "LIMIT_EXCEEDED"
    assert (await core.refuses("large")).reason == "LIMIT_EXCEEDED"
    assert [call.ok for call in (await core.say("no json")).tool_calls] == [False, False]
    kept[-1].returned("after the turn")
    [turn] = (await core.turns()).turns
    assert len(turn.reply.tool_calls) == 2


async def test_a_tool_may_be_known_by_its_schema() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

    async def forecast(arguments: dict[str, Any], turn: Turn, world: World) -> Any:
        if "city" not in arguments:
            raise ValueError("city is missing")
        return [turn.number, world["skies"][arguments["city"]], arguments]

    weather = Tool.described("weather", forecast, description="Tells the weather.", parameters=schema)
    agent = Agent("weather", tools=[weather], world={"skies": {"Oslo": "grey"}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        with pytest.raises(ToolFailed, match="city is missing"):
            await turn.call("weather", town="Oslo")
        assert turn.tools.openai() == [
            {
                "type": "function",
                "function": {"name": "weather", "description": "Tells the weather.", "parameters": schema},
            }
        ]
        return json.dumps(await turn.call(weather, city="Oslo", days=2))

    [played] = await play(agent, ["hi"])
    assert json.loads(played.text) == [1, "grey", {"city": "Oslo", "days": 2}]
    assert [call.ok for call in played.tool_calls] == [False, True]


def test_a_described_tool_takes_its_arguments_as_one() -> None:
    def wrong(city: str) -> None: ...

    with pytest.raises(TypeError, match="`arguments`"):
        Tool.described("weather", wrong, parameters={})


async def test_what_an_agent_adds_to_its_metadata_is_stored(serve: Serve) -> None:
    async def reply(turn: Turn) -> Reply:
        return Reply("hi", metadata={"route": ["billing", 1.0]} if turn.text == "add" else None)

    core = await serve(as_agent(reply, "adding"))
    said = await core.say("add", idempotency_key="k")
    assert json.loads(said.metadata_json) == {"route": ["billing", 1.0]}
    again = await core.say("add", idempotency_key="k")
    assert (again.replayed, again.metadata_json) == (True, said.metadata_json)
    assert (await core.say("nothing")).metadata_json == ""
    assert [turn.reply.metadata_json for turn in (await core.turns()).turns] == [said.metadata_json, ""]


async def test_an_agent_whose_backend_is_down_is_unavailable(serve: Serve) -> None:
    async def reply(turn: Turn) -> str:
        if turn.number == 1:
            return "hi"
        raise AgentUnavailable("http://secret/ said: Traceback …", retry_after=7)

    core = await serve(as_agent(reply, "down"))
    await core.say("hi")
    failure = await core.refuses("hi")
    assert (failure.code, failure.reason, failure.retryable) == (
        grpc.StatusCode.UNAVAILABLE,
        "AGENT_UNAVAILABLE",
        True,
    )
    assert (failure.message, failure.retry_after) == ("The agent is not available, try again later", 7)
    [failed] = (await core.turns()).failed
    assert (failed.reason, failed.detail) == (
        "AGENT_UNAVAILABLE",
        "AgentUnavailable: http://secret/ said: Traceback …",
    )


async def test_a_conversation_that_is_too_long_is_the_requests_fault(serve: Serve) -> None:
    async def reply(turn: Turn) -> str:
        if turn.number == 1:
            return "hi"
        raise ConversationTooLong("http://secret/ said: 9000 tokens")

    core = await serve(as_agent(reply, "short"))
    await core.say("hi")
    failure = await core.refuses("hi")
    assert (failure.code, failure.reason, failure.retryable) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "CONTEXT_LENGTH_EXCEEDED",
        False,
    )
    assert (failure.message, failure.retry_after) == ("The conversation is too long for the agent", None)
    [failed] = (await core.turns()).failed
    assert (failed.reason, failed.detail) == (
        "CONTEXT_LENGTH_EXCEEDED",
        "ConversationTooLong: http://secret/ said: 9000 tokens",
    )


async def test_health_says_how_the_agents_are(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "greenroom.core.served")
    wrong = {"one": "", "two": ""}

    def made(name: str) -> Agent:
        agent = Agent(name)
        agent.reply(lambda turn: "hi")
        agent.on_health(lambda: "")
        agent.on_health(lambda: wrong[name])
        return agent

    agents = Agents([Served(made(name), name, Limits()) for name in wrong])
    core = await serve(made("one"))
    core.core.agents = agents

    async def serving(service: str) -> bool:
        answer = await core.health.Check(health_pb2.HealthCheckRequest(service=service))
        return bool(answer.status == SERVING)

    assert (await serving("agent"), await serving("agents")) == (True, True)
    wrong["one"] = "no answer from upstream"
    assert (await serving("agent"), await serving("agents"), await serving("")) == (True, False, True)
    wrong["two"] = "dead"
    assert (await serving("agent"), await serving("agents")) == (False, False)
    wrong["one"] = ""
    assert (await serving("agent"), await serving("agents")) == (True, False)
    told = [record.getMessage() for record in caplog.records if record.name == "greenroom.core.served"]
    assert told == ["agent one: no answer from upstream", "agent two: dead", "agent one is well again"]


async def test_no_more_turns_of_an_agent_run_at_once_than_it_may(serve: Serve) -> None:
    inside: list[str] = []
    gate = asyncio.Event()

    async def reply(turn: Turn) -> str:
        inside.append(turn.text)
        await gate.wait()
        return "done"

    core = await serve(as_agent(reply, "narrow"), limits=Limits(agent_concurrency=2, turn_timeout=10))
    tasks = [asyncio.ensure_future(core.say(sid, sid=sid)) for sid in ("a", "b", "c", "d")]
    await until(lambda: core.server._runner._running == 4 and len(inside) == 2)  # type: ignore[union-attr]
    assert len(inside) == 2
    gate.set()
    assert [(await task).text for task in tasks] == ["done"] * 4
    assert sorted(inside) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("told", "seconds"), [(None, 1), (7, 7), (-5, 0), (float("inf"), 3600), (float("nan"), 1), ("soon", 1)]
)
def test_when_to_come_again_is_a_number_of_seconds(told: Any, seconds: float) -> None:
    assert AgentUnavailable("down", retry_after=told).retry_after == seconds


@pytest.mark.parametrize("part", ["metadata", "evaluation"])
@pytest.mark.parametrize("said", [["a"], "abc", 5])
async def test_what_an_agent_adds_to_its_reply_is_a_mapping(part: str, said: Any) -> None:
    agent = Agent("odd")

    @agent.reply
    def reply(turn: Turn) -> Reply:
        return Reply("hi", **{part: said})

    with pytest.raises(AgentFailed):
        await play(agent, ["hi"])
