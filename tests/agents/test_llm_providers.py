"""The providers that are not OpenAI's: where their requests go, with which key, and what becomes of their answers."""

import json

import pytest
from llm_talk import QUICK
from stub_model import Answer, StubModel, fails
from talk import talking

from greenroom.agents.llm import LlmAgent, LlmOptions
from greenroom.core.errors import AgentDown, ContextExceeded
from greenroom.sdk import tool


@tool
def look_up(order_id: str) -> str:
    """Look up an order."""
    return f"{order_id} is sent"


def anthropic(*content: dict[str, object], stop: str) -> Answer:
    usage = {"input_tokens": 11, "output_tokens": 3}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "c", "content": content, "usage": usage}
    return Answer(body=json.dumps({**message, "stop_reason": stop, "stop_sequence": None}))


def google(*parts: dict[str, object]) -> Answer:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}
    return Answer(body=json.dumps({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g"}))


CALL = {"order_id": "7"}
PROVIDERS = {
    "anthropic:claude-haiku-5-5": (
        anthropic({"type": "tool_use", "id": "t1", "name": "look_up", "input": CALL}, stop="tool_use"),
        anthropic({"type": "text", "text": "It is sent."}, stop="end_turn"),
        "/v1/messages",
        "authorization",
    ),
    "google:gemini-2.5-flash": (
        google({"functionCall": {"name": "look_up", "args": CALL}}),
        google({"text": "It is sent."}),
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "x-goog-api-key",
    ),
}


TOO_LONG = {
    "anthropic:claude-haiku-5-5": {
        "type": "invalid_request_error",
        "message": "prompt is too long: 200001 tokens > 200000 maximum",
    },
    "google:gemini-2.5-flash": {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048575).",
    },
}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_turn_runs_with_its_tools(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, text, path, header = PROVIDERS[name]
    monkeypatch.setenv("THEIR_KEY", "k-9")
    with StubModel(call, text) as model:
        agent = LlmAgent(
            model=name,
            base_url=model.url.removesuffix("/v1"),
            api_key_env="THEIR_KEY",
            instructions="Be brief.",
            tools=[look_up],
            options=LlmOptions(max_tokens=500, **QUICK),
        )
        async with talking(agent) as talk:
            turn = await talk.say("Where is 7?")
            assert (turn.reply, turn.tool_calls[0].result_json) == ("It is sent.", '"7 is sent"')
            assert (turn.prompt_tokens, turn.completion_tokens) == (22, 6)
            model.play(text)
            await talk.say("Thanks")
            assert "7 is sent" in json.dumps(model.requests[0])
            assert [one.partition("?")[0] for one in model.paths] == [path]
            assert model.headers[0][header].removeprefix("Bearer ") == "k-9"
            for status, reason in ((500, "server_error"), (401, "unauthorized")):
                model.play(fails(status))
                with pytest.raises(AgentDown):
                    await talk.say(f"Hi {status}")
                assert agent.problem().endswith(f"{reason} ({status})")
                assert len(model.requests) == (3 if status == 500 else 1)
            model.play(fails(400, json.dumps({"error": TOO_LONG[name]})))
            with pytest.raises(ContextExceeded):
                await talk.say("Hi at length")
