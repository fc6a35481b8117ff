"""Agents behind OpenAI-compatible endpoints: the whole history goes up, the reply comes through as it is made."""

import asyncio
import json
from typing import Any

import pytest
from stub_endpoint import Asked, Endpoint, Told, endpoint, events
from talk import Told as Heard
from talk import talking, until

from greenroom.agents.http import OpenAiAgent
from greenroom.core.errors import AgentDown, AgentFailed
from greenroom.core.records import Message
from greenroom.sdk.testing import play

CALL = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "get_order", "arguments": '{"id": 7}', "result": {"status": "shipped"}},
}
FAILED = {
    "id": "call_8",
    "type": "function",
    "function": {"name": "notify", "arguments": "{", "result": {"error": {"type": "timeout", "message": "late"}}},
}


def completion(content: str | None = "hi", finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 31, "completion_tokens": 4, "total_tokens": 35},
    }


def delta(finish: str | None = None, **parts: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": parts, "finish_reason": finish}]}


def agent_at(served: Endpoint, **options: Any) -> OpenAiAgent:
    return OpenAiAgent(f"{served.url}/v1", model="m", **options)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


async def test_the_whole_history_goes_up_with_what_was_asked_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    async with endpoint(Told(completion(None, tool_calls=[CALL, FAILED])), Told(completion("bye"))) as served:
        agent = agent_at(served, instructions="Be kind.")
        async with talking(agent) as talk:
            context = (Message("system", "In stock: 3."), Message("user", "Where is it?"))
            first = (await talk.send(context, options={"temperature": 0.5, "model": "http"}, user_id="u")).turn
            second = await talk.say("Thanks")
    calls = [(call.id, call.name, call.arguments_json, call.result_json, call.ok) for call in first.tool_calls]
    assert calls == [
        ("call_7", "get_order", '{"id": 7}', '{"status":"shipped"}', True),
        ("call_8", "notify", '{"arguments": "{"}', '{"error":{"type":"timeout","message":"late"}}', False),
    ]
    assert (first.reply, second.reply) == ("", "bye")
    assert (second.prompt_tokens, second.completion_tokens) == (31, 4)
    one, two = served.asked
    assert (one.method, one.path, one.headers["authorization"]) == ("POST", "/v1/chat/completions", "Bearer sk-env")
    assert one.headers["x-session-id"] == "s1"
    system = [{"role": "system", "content": "Be kind."}, {"role": "system", "content": "In stock: 3."}]
    assert one.body == {
        "model": "m",
        "messages": [*system, {"role": "user", "content": "Where is it?"}],
        "temperature": 0.5,
        "user": "u",
    }
    assert [message["role"] for message in two.body["messages"]] == [
        *("system", "system"),
        *("user", "assistant", "tool", "tool", "assistant"),
        "user",
    ]


async def test_a_stream_comes_through_as_it_is_made() -> None:
    halfway = asyncio.Event()
    first, *rest = events(
        delta(role="assistant", content="It is "),
        delta(content="on its way"),
        delta(tool_calls=[{"index": 0, "id": "call_7", "function": {"name": "get_order", "arguments": '{"id"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 7}"}}]),
        delta("length", content="."),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}, "metadata": {"agent_confidence": 0.5}},
    )
    heard = Heard()
    async with (
        endpoint(Told(pieces=(first, b": ping\n\n", *rest), pause=halfway)) as served,
        talking(agent_at(served)) as talk,
    ):
        saying = asyncio.ensure_future(talk.say("hi", told=heard))
        await until(lambda: heard.pieces == ["It is "])
        halfway.set()
        turn = await saying
    assert served.asked[0].body["stream"] is True
    assert served.asked[0].body["stream_options"] == {"include_usage": True}
    assert (heard.text, turn.reply) == ("It is on its way.", "It is on its way.")
    [call] = turn.tool_calls
    assert (call.id, call.name, json.loads(call.arguments_json), call.result_json) == (
        "call_7",
        "get_order",
        {"id": 7},
        "null",
    )
    assert [told.id for told in heard.calls] == ["call_7"]
    assert (turn.prompt_tokens, turn.completion_tokens, turn.confidence) == (9, 3, 0.5)
    assert json.loads(turn.reply_metadata_json) == {"finish_reason": "length"}


async def test_an_endpoint_that_does_not_stream_is_read_whole() -> None:
    heard = Heard()
    async with endpoint(Told(completion("whole"))) as served, talking(agent_at(served)) as talk:
        assert (await talk.say("hi", told=heard)).reply == "whole"
    assert heard.text == ""


@pytest.mark.parametrize(
    ("told", "failure", "detail"),
    [
        (Told(pieces=events(delta(content="It"), done=False), cut=True), AgentDown, "RemoteProtocolError"),
        (Told(pieces=events(delta(content="It"), done=False)), AgentDown, "ended before"),
        (Told(pieces=events(delta(content="It"), {"error": {"message": "hunter2"}})), AgentDown, "hunter2"),
        (Told(pieces=(b"data: nonsense\n\n",)), AgentFailed, "no JSON"),
        (Told(pieces=events([1])), AgentFailed, "is an object"),
        (Told({"error": {"message": "hunter2"}}), AgentDown, "hunter2"),
        (Told({"choices": []}), AgentFailed, "has choices"),
        (Told({"choices": ["a"]}), AgentFailed, "not of OpenAI's format"),
        (Told(completion(tool_calls=[{"id": "x"}])), AgentFailed, "without a name"),
        (Told("hunter2", 404), AgentFailed, "answered 404"),
    ],
)
async def test_what_goes_wrong_there_is_a_failure_here(told: Told, failure: type[Exception], detail: str) -> None:
    async with endpoint(Told(completion()), told) as served, talking(agent_at(served)) as talk:
        await talk.say("hi")
        error = await talk.fails("again", told=Heard() if told.pieces else None)
        assert type(error) is failure
        assert "hunter2" not in str(error)
        assert detail in (await talk.failures())[0].detail


async def test_without_a_name_the_first_model_is_asked() -> None:
    def answer(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told({"data": [{"id": "first"}, {"id": "second"}]})
        return Told(completion(asked.body["model"]))

    async with endpoint(answer) as served:
        played = await play(OpenAiAgent(f"{served.url}/v1/chat/completions"), ["hi", "again"])
    assert [reply.text for reply in played] == ["first", "first"]
    assert [asked.path for asked in served.asked] == ["/v1/models", *["/v1/chat/completions"] * 2]


async def test_what_an_endpoint_of_our_own_format_says_is_kept() -> None:
    told = completion("hi") | {
        "evaluation_metadata": {"intent": "greeting"},
        "metadata": {"agent_confidence": 0.9, "turn": 7},
    }
    async with endpoint(Told(told)) as served:
        [played] = await play(agent_at(served, api_key="sk-own"), ["hi"])
    assert (played.confidence, played.evaluation["intent"], played.metadata) == (0.9, "greeting", {})
    assert served.asked[0].headers["authorization"] == "Bearer sk-own"
