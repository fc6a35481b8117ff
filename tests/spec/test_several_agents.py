"""Several agents in one server: which one replies, and that none meets another's sessions (CHAT-03, CHAT-05, CHAT-14)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from whole_sandbox import PATIENCE, Sandbox, body_of, sandbox, text_of

from greenroom.sdk import Agent, Turn, World, tool
from greenroom.v1 import agent_pb2, tool_pb2, tool_pb2_grpc, turn_pb2


def counting(name: str) -> Agent:
    """Counts what it has heard, in its world and in its state."""

    @tool
    def count(world: World) -> int:
        """Counts."""
        world["counted"]["by"][name] = world["counted"]["by"].get(name, 0) + 1
        return int(world["counted"]["by"][name])

    count.name = f"count_{name}"
    agent = Agent(name, tools=[count], world={"counted": {"by": {}}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        turn.state[name] = turn.state.get(name, 0) + 1
        await turn.call(count)
        return json.dumps({"by": name, "heard": turn.state, "model": turn.options.get("model")})

    return agent


def silent(name: str) -> Agent:
    """Always says the same."""
    agent = Agent(name)

    @agent.reply
    async def reply(turn: Turn) -> str:
        return "hm"

    return agent


@pytest.fixture
async def several(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path, counting("one"), others=[counting("two"), silent("mute")]) as running:
        yield running


def said(reply: Any) -> Any:
    return json.loads(text_of(reply))


async def test_the_model_picks_one_and_the_reply_says_who(several: Sandbox) -> None:
    for model, who in [("one", "one"), ("two", "two"), ("gpt-4o", "one"), ("", "one"), (None, "one"), (7, "one")]:
        reply = await several.chat("hi", model=model)
        assert (said(reply)["by"], reply["model"]) == (who, who)
        assert said(reply)["model"] == model
    assert said(await several.chat("hi"))["by"] == "one"


async def test_all_are_listed_the_default_first(several: Sandbox) -> None:
    assert [model["id"] for model in (await several.read("/v1/models"))["data"]] == ["one", "two", "mute"]
    listed = await several.agents.ListAgents(agent_pb2.ListAgentsRequest(), timeout=PATIENCE)
    assert [(agent.id, list(agent.tools)) for agent in listed.agents][:2] == [
        ("one", ["count_one"]),
        ("two", ["count_two"]),
    ]


async def test_a_session_keeps_its_agent_with_world_and_state(several: Sandbox) -> None:
    first = await several.chat("a", session_id="s", model="two")
    later = [await several.chat("b", session_id="s", model=model) for model in ("one", "nobody", None)]
    assert said(first)["heard"] == {"two": 1}
    assert [(said(reply)["heard"], reply["model"]) for reply in later] == [({"two": n}, "two") for n in (2, 3, 4)]
    assert (await several.read("/v1/sessions/s"))["agent"] == "two"
    assert (await several.read("/v1/sessions/s/world"))["world"] == {"counted": {"by": {"two": 4}}}


async def test_a_conversation_without_id_goes_on_with_the_agent_that_is_asked(tmp_path: Path) -> None:
    """Two agents may have said the same: their conversations are two (CHAT-14)."""
    async with sandbox(tmp_path, silent("a"), others=[silent("b")]) as running:
        begun = await running.chat("hi", model="a")
        other = await running.chat("hi", text_of(begun), "go on", model="b")
        assert (other["model"], other["metadata"]["history"]) == ("b", "adopted")
        assert other["session_id"] != begun["session_id"]
        same = await running.chat("hi", text_of(begun), "go on", model="a")
        assert (same["session_id"], same["metadata"]["history"]) == (begun["session_id"], "continued")
        default = await running.chat("hi", text_of(begun), "go on", "hm", "and on", model="gpt-4o")
        assert (default["session_id"], default["model"]) == (begun["session_id"], "a")


async def test_where_it_is_strict_an_unknown_model_is_404(tmp_path: Path) -> None:
    async with sandbox(tmp_path, counting("one"), others=[counting("two")], strict=True) as running:
        for fields in ({"model": "tow"}, {"model": "tow", "session_id": "s"}, {"model": "tow", "stream": True}):
            response = await running.post(body_of("hi", **fields))
            assert response.status_code == 404
            error = response.json()["error"]
            assert (error["type"], error["code"], error["param"]) == ("not_found_error", "agent_not_found", "model")
            assert error["message"] == "there is no agent 'tow'; did you mean two?"
            assert response.headers["x-should-retry"] == "false"
        assert (await running.http.get("/v1/sessions/s")).status_code == 404
        assert said(await running.chat("hi", model="two"))["by"] == "two"
        assert said(await running.chat("hi"))["by"] == "one"
        opened = await running.http.post("/v1/sessions", json={"model": "tow"})
        assert (opened.status_code, opened.json()["error"]["param"]) == (404, "model")


async def test_a_session_opened_ahead_and_a_fork_are_for_an_agent(several: Sandbox) -> None:
    opened = await several.http.post("/v1/sessions", json={"session_id": "s", "model": "two"})
    assert opened.json()["agent"] == "two"
    assert said(await several.chat("a", session_id="s"))["heard"] == {"two": 1}
    forked = await several.http.post("/v1/sessions", json={"from": {"session_id": "s"}, "model": "one"})
    assert forked.json()["agent"] == "two"
    assert said(await several.chat("b", session_id=forked.json()["session_id"]))["heard"] == {"two": 2}


async def test_a_session_whose_agent_is_gone_goes_on_with_the_default_one(tmp_path: Path) -> None:
    async with sandbox(tmp_path, counting("one"), others=[counting("two")]) as running:
        await running.chat("a", session_id="s", model="two")
    async with sandbox(tmp_path, silent("mute"), others=[counting("three")]) as running:
        assert (await running.chat("b", session_id="s", model="three"))["model"] == "mute"
        assert (await running.read("/v1/sessions/s"))["agent"] == "mute"


async def test_over_grpc_agents_and_their_tools_are_named(several: Sandbox) -> None:
    hello = [turn_pb2.Message(role="user", content="hi")]
    turn = agent_pb2.RunTurnRequest(messages=hello, agent="two", session_id="s")
    assert (await several.agents.RunTurn(turn, timeout=PATIENCE)).reply.agent == "two"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{several.server.port}") as channel:
        tools = tool_pb2_grpc.ToolServiceStub(channel)
        for agent, expected in (("", "count_one"), ("two", "count_two")):
            listed = await tools.ListTools(tool_pb2.ListToolsRequest(agent=agent), timeout=PATIENCE)
            assert [one.name for one in listed.tools] == [expected]
        aside = await tools.InvokeTool(tool_pb2.InvokeToolRequest(name="count_two", agent="two"), timeout=PATIENCE)
        assert (aside.call.ok, aside.call.result_json) == (True, "1")
        there = await tools.InvokeTool(tool_pb2.InvokeToolRequest(name="count_two", session_id="s"), timeout=PATIENCE)
        assert there.call.result_json == "2"
        for call in (
            tools.ListTools(tool_pb2.ListToolsRequest(agent="tow"), timeout=PATIENCE),
            tools.InvokeTool(tool_pb2.InvokeToolRequest(name="count_two", agent="tow"), timeout=PATIENCE),
            tools.InvokeTool(tool_pb2.InvokeToolRequest(name="count_two"), timeout=PATIENCE),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_token_calls_the_tools_of_its_own_turn(tmp_path: Path) -> None:
    """Whichever agent gave it out."""
    calls: list[str] = []

    @tool
    def note(text: str) -> str:
        """Notes."""
        calls.append(text)
        return text

    agent = Agent("handing", tools=[note])

    @agent.reply
    async def reply(turn: Turn) -> str:
        async with grpc.aio.insecure_channel(turn.text) as channel:
            asked = tool_pb2.InvokeToolRequest(name="note", arguments_json='{"text": "x"}', turn_token=turn.token)
            done = await tool_pb2_grpc.ToolServiceStub(channel).InvokeTool(asked, timeout=PATIENCE)
        return done.call.result_json

    async with sandbox(tmp_path, counting("one"), others=[agent]) as running:
        reply_ = await running.chat(f"127.0.0.1:{running.server.port}", model="handing")
        assert (text_of(reply_), calls) == ('"x"', ["x"])
        assert reply_["metadata"]["tools_used"] == ["note"]


OPTIONS: dict[str, Any] = {
    "model": "m",
    "temperature": 0.5,
    "top_p": 1,
    "max_tokens": 5,
    "max_completion_tokens": 6,
    "presence_penalty": -1.5,
    "frequency_penalty": 1e-3,
    "stop": ["a", "b"],
    "seed": 2**53 + 1,
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "reasoning_effort": "low",
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 2,
    "top_k": 40,
    "min_p": 0.05,
    "verbosity": "low",
    "prediction": {"type": "content", "content": "x"},
    "tools": [{"type": "function", "function": {"name": "f", "description": "é" * 70_000, "parameters": {}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "functions": [],
    "function_call": "auto",
}


async def test_what_clients_ask_of_a_model_reaches_the_agent(tmp_path: Path) -> None:
    """And does no harm to one that has no use for it."""
    agent = Agent("telling")

    @agent.reply
    async def reply(turn: Turn) -> str:
        return json.dumps(dict(turn.options))

    async with sandbox(tmp_path, agent, others=[silent("mute")]) as running:
        assert said(await running.chat("hi", **OPTIONS)) == OPTIONS
        assert said(await running.chat("hi", **dict.fromkeys(OPTIONS))) == {}
        assert text_of(await running.chat("hi", **{**OPTIONS, "model": "mute"})) == "hm"
        [turn] = (await running.read(f"/v1/sessions/{(await running.chat('hi', seed=2))['session_id']}/turns"))["turns"]
        assert turn["options"] == {"seed": 2}
