"""What models and endpoints answer, recorded and replayed: the same replies, and nobody is asked."""

import json
from pathlib import Path
from typing import Any

import pydantic_ai
import pytest
from llm_talk import agent_of
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from stub_endpoint import Told as Answer
from stub_endpoint import endpoint, events
from stub_model import StubModel, calls, fails, says
from talk import Told, talking

from greenroom.agents.adapters import adapt
from greenroom.agents.http import AnswerPaths, HttpAgent, OpenAiAgent
from greenroom.agents.llm import LlmAgent
from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.errors import NotRecorded
from greenroom.core.records import TurnRecord
from greenroom.sdk import Agent, World, tool

TOKENS = {"prompt_tokens": 31, "completion_tokens": 4, "total_tokens": 35}


@tool
async def get_order(world: World, order_id: str) -> dict[str, Any]:
    """Look up an order."""
    world["seen"] = [*world.get("seen", []), order_id]
    return {"status": "sent"}


async def talk_about(
    agent: Agent, rule: CassetteRule, *texts: str, session: str = "session-1", **how: Any
) -> list[TurnRecord]:
    async with talking(agent, deck=Deck(rule)) as talk:
        return [await talk.say(text, session_id=session, **how) for text in texts]


def told(turns: list[TurnRecord]) -> list[Any]:
    return [
        (
            turn.reply,
            turn.prompt_tokens,
            turn.completion_tokens,
            [(call.name, call.result_json) for call in turn.tool_calls],
        )
        for turn in turns
    ]


def llm(url: str, **parts: Any) -> LlmAgent:
    return LlmAgent(model="openai:stub", base_url=url, tools=[get_order], world={}, **parts)


async def test_an_llm_agents_conversation_comes_out_the_same_without_its_model(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")
    with StubModel(calls("get_order", order_id="7"), says("It is sent."), says("Goodbye.")) as model:
        agent = agent_of(model, tools=[get_order], world={}, instructions="Be brief.")
        live = await talk_about(agent, CassetteRule(record=path), "Where is 7?", "Thanks.")
        asked, url = len(model.requests), model.url
        heard = Told()
        agent = agent_of(model, tools=[get_order], world={}, instructions="Be brief.")
        again = await talk_about(
            agent, CassetteRule(replay=path), "Where is 7?", "Thanks.", session="session-2", told=heard
        )
        assert len(model.requests) == asked == 3
    assert told(again) == told(live)
    assert heard.text == "It is sent.Goodbye."
    assert json.loads(again[0].reply_metadata_json)["llm"] == json.loads(live[0].reply_metadata_json)["llm"]
    with pytest.raises(NotRecorded, match=r"messages\.0\.0\.content is .*Be brief.* there"):
        await talk_about(llm(url, instructions="Be long."), CassetteRule(replay=path), "Where is 7?")


async def test_a_model_that_is_only_replayed_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "talk.jsonl")
    with StubModel(says("Hello.")) as model:
        await talk_about(agent_of(model), CassetteRule(record=path), "Hi")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    [turn] = await talk_about(LlmAgent(model="openai:stub"), CassetteRule(replay=path), "Hi")
    assert turn.reply == "Hello."


async def test_a_streamed_answer_is_recorded_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")
    heard = Told()
    with StubModel(says("Hello there.")) as model:
        live = await talk_about(agent_of(model), CassetteRule(record=path), "Hi", told=heard)
        again = await talk_about(agent_of(model), CassetteRule(replay=path), "Hi")
        assert len(model.requests) == 1
    assert told(again) == told(live)
    assert heard.text == "Hello there."


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_openai_endpoints_answers_are_replayed(tmp_path: Path, *, streamed: bool) -> None:
    path = str(tmp_path / "talk.jsonl")
    call = {"id": "c7", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}', "result": [1]}}
    choice = {"index": 0, "finish_reason": "stop"}
    whole = {"choices": [{**choice, "message": {"content": "Found it.", "tool_calls": [call]}}], "usage": TOKENS}
    pieces = events(
        {"choices": [{"index": 0, "delta": {"content": "Found "}}]},
        {"choices": [{**choice, "delta": {"content": "it.", "tool_calls": [{"index": 0, **call}]}}], "usage": TOKENS},
    )
    answer = Answer(headers={"content-type": "text/event-stream"}, pieces=pieces) if streamed else Answer(whole)
    how = {"told": Told()} if streamed else {}
    async with endpoint(Answer({"data": [{"id": "m"}]}), answer) as served:
        live = await talk_about(OpenAiAgent(f"{served.url}/v1"), CassetteRule(record=path), "Find 7.", **how)
    again = await talk_about(OpenAiAgent(f"{served.url}/v1"), CassetteRule(replay=path), "Find 7.", session="session-2")
    assert told(again) == told(live) == [("Found it.", 31, 4, [("find", "[1]")])]
    assert len(served.asked) == 2


async def test_an_endpoint_of_its_own_shape_is_replayed(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")

    def agent_at(url: str) -> HttpAgent:
        return HttpAgent(url, AnswerPaths(reply="$.answer", tools="$.actions"))

    answer = {"answer": "On its way.", "actions": [{"name": "find", "args": {}, "output": 1}]}
    async with endpoint(Answer(answer)) as served:
        live = await talk_about(agent_at(served.url), CassetteRule(record=path), "Where?")
    again = await talk_about(agent_at(served.url), CassetteRule(replay=path), "Where?", session="session-2")
    assert [(turn.reply, turn.tool_calls[0].name) for turn in again] == [("On its way.", "find")]
    assert live[0].reply == again[0].reply
    assert len(served.asked) == 1


async def test_a_frameworks_model_is_replayed_at_its_http_client(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")
    record, replay = CassetteRule(record=path), CassetteRule(replay=path)
    with StubModel(fails(503), calls("look_up", city="Rome"), says("It is sunny.")) as model:
        async with AsyncOpenAI(api_key="none", base_url=model.url) as client:
            live = await talk_about(adapted(client), record, "Rome?", told=Told())
            asked = len(model.requests)
            again = await talk_about(adapted(client), replay, "Rome?", told=Told(), session="session-2")
            with pytest.raises(NotRecorded, match=r"content is \"Oslo\?\" here and \"Rome\?\" there"):
                await talk_about(adapted(client), replay, "Oslo?", told=Told())
        assert len(model.requests) == asked == 3
    assert [turn.reply for turn in again] == [turn.reply for turn in live] == ["It is sunny."]
    assert [recording.name for recording in Cassette(Path(path))].count("127.0.0.1") == 2


async def test_what_is_asked_outside_a_taped_turn_is_sent_as_ever(tmp_path: Path) -> None:
    rule = CassetteRule(record=str(tmp_path / "talk.jsonl"))
    with StubModel(says("Hello.")) as model:
        async with AsyncOpenAI(api_key="none", base_url=model.url) as client:
            await talk_about(adapted(client), rule, "Hi")
            async with talking(adapted(client)) as talk:
                await talk.say("Hi")
        assert len(model.requests) == 2


def adapted(client: AsyncOpenAI) -> Agent:
    """An agent of pydantic-ai's own, with a tool, on a model behind the official client."""
    framework: Any = pydantic_ai.Agent(OpenAIChatModel("stub", provider=OpenAIProvider(openai_client=client)))

    @framework.tool_plain
    def look_up(city: str) -> str:
        """Looks up."""
        return f"sunny in {city}"

    agent = adapt(framework, "framework")
    assert agent is not None
    return agent
