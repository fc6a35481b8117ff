"""What models and endpoints answer, recorded and replayed: the same replies, and nobody is asked."""

import asyncio
import json
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

import httpx
import pydantic_ai
import pytest
from llm_talk import agent_of
from openai import AsyncOpenAI
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from stub_endpoint import Told as Answer
from stub_endpoint import endpoint, events
from stub_model import StubModel, calls, calls_all, fails, says
from talk import Told, talking

from greenroom.agents.adapters import adapt, current_turn
from greenroom.agents.adapters.tools import framework_tool, run_in_turn, serving
from greenroom.agents.http import AnswerPaths, HttpAgent, OpenAiAgent
from greenroom.agents.llm import LlmAgent
from greenroom.core.cassettes.cassette import Cassette
from greenroom.core.cassettes.deck import Deck
from greenroom.core.cassettes.rule import CassetteRule
from greenroom.core.errors import NotRecorded
from greenroom.core.records import TurnRecord
from greenroom.sdk import Agent, Turn, World, tool

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


async def test_the_first_listed_model_is_known_in_every_scenario(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")
    answer = Answer({"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hello."}}]})
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"id: {name}\n")
    asking = [{"metadata_json": json.dumps({"scenario_id": name})} for name in ("one", "two")]
    async with endpoint(Answer({"data": [{"id": "m"}]}), answer) as served:
        url = f"{served.url}/v1"
        agent = OpenAiAgent(url, scenarios=tmp_path)
        for how in asking:
            await talk_about(agent, CassetteRule(record=path), "Hi", **how)
        assert [one.path for one in served.asked].count("/v1/models") == 1
    agent = OpenAiAgent(url, scenarios=tmp_path)
    [turn] = await talk_about(agent, CassetteRule(replay=path), "Hi", **asking[1])
    assert turn.reply == "Hello."


def fetching(fetch: Callable[[], Any]) -> Agent:
    """It says what comes of a request by httpx, as a framework's code would send it."""
    agent = Agent("fetching")

    @agent.reply
    async def reply(turn: Turn) -> str:
        with serving(turn):
            told = fetch()
            return str(await told if isawaitable(told) else told)

    return agent


async def test_redirects_and_refusals_are_answers_and_no_header_is_lost_while_they_are_recorded(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")
    seen: list[str | None] = []

    async def fetch() -> Any:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            answer = await client.get(f"{url}/old")
            seen.append(answer.headers.get("x-page"))
            return [answer.status_code, answer.json()]

    moved = Answer(status=302, headers={"location": "/new"})
    async with endpoint(moved, Answer({"error": "no such order"}, 404, {"x-page": "1"})) as served:
        url = served.url
        [live] = await talk_about(fetching(fetch), CassetteRule(record=path), "Hi")
    [again] = await talk_about(fetching(fetch), CassetteRule(replay=path), "Hi")
    assert live.reply == again.reply == "[404, {'error': 'no such order'}]"
    assert seen == ["1", None]


async def test_a_client_that_waits_on_the_event_loop_is_recorded_too(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")

    def fetch() -> Any:
        with httpx.Client() as client:
            asked = {"model": "stub", "messages": [{"role": "user", "content": "Hi"}]}
            return client.post(f"{model.url}/chat/completions", json=asked).json()["choices"][0]["message"]["content"]

    with StubModel(says("Hello.")) as model:
        [live] = await talk_about(fetching(fetch), CassetteRule(record=path), "Hi")
        [again] = await talk_about(fetching(fetch), CassetteRule(replay=path), "Hi")
        [threaded] = await talk_about(
            fetching(lambda: asyncio.to_thread(fetch)), CassetteRule(replay=path), "Hi", session="session-2"
        )
        assert len(model.requests) == 1
    assert live.reply == again.reply == threaded.reply == "Hello."


async def test_what_waits_for_a_server_to_speak_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"

    async def fetch() -> Any:
        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", url, headers={"accept": "text/event-stream"}) as answer,
        ):
            return await anext(answer.aiter_text())

    never = asyncio.Event()
    async with endpoint(Answer(pieces=(b"first", b"never"), pause=never)) as served:
        url = served.url
        [live] = await talk_about(fetching(fetch), CassetteRule(record=str(path)), "Hi")
        never.set()
    assert live.reply == "first"
    assert not path.exists()


async def test_a_frameworks_plain_tool_is_replayed_and_what_does_more_is_called(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.jsonl")
    record, replay = CassetteRule(record=path), CassetteRule(replay=path)
    told = ("look_up", "fails", "in_context", "with_the_turn", "gives_an_object")
    ran: list[str] = []
    script = [calls_all(*((name, {"city": "Rome"}) for name in told)), says("Done.")]
    with StubModel(*script) as model:
        async with AsyncOpenAI(api_key="none", base_url=model.url) as client:
            [live] = await talk_about(adapted(client, ran), record, "Rome?")
            assert sorted(ran) == sorted(told)
            ran.clear()
            [again] = await talk_about(adapted(client, ran), replay, "Rome?", session="session-2")
            asked = len(model.requests)
    assert asked == 2
    assert sorted(ran) == sorted(told[2:])
    assert [(call.name, call.result_json) for call in again.tool_calls] == [
        (call.name, call.result_json) for call in live.tool_calls
    ]
    assert [bool(call.scripted_by) for call in again.tool_calls] == [True, True, False, False, False]
    assert json.loads(again.reply_metadata_json)["cassette"] == {"replayed": 4, "recorded": 0}


@pytest.mark.parametrize("live", [False, True])
async def test_what_a_tool_asks_by_http_is_recorded_with_it_where_it_is_called_again(
    tmp_path: Path, *, live: bool
) -> None:
    path = str(tmp_path / "talk.jsonl")
    ran: list[str] = []

    async def look_up(arguments: dict[str, Any]) -> Any:
        ran.append("look_up")
        async with httpx.AsyncClient() as client:
            found = (await client.get(f"{url}/orders")).json()
        if live:
            current_turn().state["found"] = found
        return found

    known = framework_tool("look_up", look_up, description="", parameters={}, replayable=True)
    agent = Agent("looks", tools=[known])

    @agent.reply
    async def reply(turn: Turn) -> str:
        with serving(turn):
            found = [await run_in_turn(turn, known, {}, look_up)]
            async with httpx.AsyncClient() as client:
                found.append((await client.get(f"{url}/orders")).json())
        return json.dumps(found)

    async with endpoint(Answer({"order": 1}), Answer({"order": 2})) as served:
        url = served.url
        [recorded] = await talk_about(agent, CassetteRule(record=path), "Hi")
        [again] = await talk_about(agent, CassetteRule(replay=path), "Hi")
        assert len(served.asked) == 2
    assert again.reply == recorded.reply == '[{"order": 1}, {"order": 2}]'
    assert len(ran) == (2 if live else 1)
    assert len(Cassette(Path(path))) == (3 if live else 2)


def adapted(client: AsyncOpenAI, ran: list[str] | None = None) -> Agent:
    """An agent of pydantic-ai's own, with tools, on a model behind the official client."""
    framework: Any = pydantic_ai.Agent(OpenAIChatModel("stub", provider=OpenAIProvider(openai_client=client)))
    ran = [] if ran is None else ran

    @framework.tool_plain
    def look_up(city: str) -> dict[str, Any]:
        """Looks up."""
        ran.append("look_up")
        return {"sky": f"sunny in {city}", "at": [1.5, None]}

    @framework.tool
    def in_context(context: RunContext, city: str) -> str:
        """Sees the run."""
        ran.append("in_context")
        return f"{context.tool_name} in {city}"

    @framework.tool_plain
    def with_the_turn(city: str) -> str:
        """Does more with the turn than it returns."""
        ran.append("with_the_turn")
        current_turn().state["city"] = city
        return city

    @framework.tool_plain
    def gives_an_object(city: str) -> tuple[str, str]:
        """Gives what is no JSON."""
        ran.append("gives_an_object")
        return (city, city)

    @framework.tool_plain
    def fails(city: str) -> str:
        """Has the model try again."""
        ran.append("fails")
        raise ModelRetry(f"not {city}")

    agent = adapt(framework, "framework")
    assert agent is not None
    return agent
