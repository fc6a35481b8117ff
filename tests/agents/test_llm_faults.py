"""What a model does wrong, and how it ends: in a reply, or in an error that quotes nothing of the model's backend."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pydantic_ai
import pytest
from llm_talk import agent_of
from openai import AsyncOpenAI
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from stub_model import (
    Answer,
    StubModel,
    answers_html,
    breaks,
    calls,
    calls_all,
    fails,
    never,
    says,
    stalls,
)
from talk import Talk, Told, talking

from greenroom.agents.adapters.pydantic_ai import PydanticAIAgent
from greenroom.agents.llm import Endpoint, LlmAgent, LlmOptions, answering
from greenroom.core.errors import AgentDown, AgentFailed, ContextExceeded, GreenroomError, LimitExceeded, TurnTimeout
from greenroom.core.limits import Limits
from greenroom.core.records import TurnRecord
from greenroom.sdk import tool

FINE = says("All is well.")
QUICK = {"timeout": 0.2}
"""Where a model is silent."""


@tool
def look_up(order_id: str) -> str:
    """Look up an order."""
    return f"{order_id} is sent"


@pytest.fixture
def model() -> Iterator[StubModel]:
    with StubModel(FINE) as model:
        yield model


def desk(model: StubModel, **options: Any) -> LlmAgent:
    return agent_of(model, options=options, tools=[look_up])


def told_of(turn: TurnRecord) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(turn.reply_metadata_json)["llm"]
    return told


async def goes_down(talk: Talk, told: Told | None = None) -> tuple[AgentDown, str]:
    """The error a caller gets, and what the evidence says."""
    with pytest.raises(AgentDown) as raised:
        await talk.say("Hi", told=told)
    assert raised.value.message == "The agent is not available, try again later"
    [failed] = await talk.failures()
    return raised.value, failed.detail


AGAIN = {
    "rate_limited (429)": fails(429),
    "unavailable (503)": fails(503),
    "server_error (500)": fails(500),
    "broken_answer": answers_html(),
    "connection": breaks(),
    "empty": says(),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reason", AGAIN)
async def test_what_may_pass_is_asked_again(model: StubModel, reason: str, streamed: bool) -> None:
    model.play(AGAIN[reason], FINE)
    async with talking(desk(model)) as talk:
        turn = await talk.say("Hi", told=Told() if streamed else None)
    assert turn.reply == "All is well."
    assert told_of(turn)["problems"] == [f"openai:stub: {reason}"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reason", AGAIN)
async def test_what_does_not_pass_is_503_after_the_retries(
    model: StubModel, reason: str, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model.play(AGAIN[reason])
    agent = desk(model, retries=2)
    async with talking(agent) as talk:
        _, detail = await goes_down(talk, Told() if streamed else None)
        assert agent.problem() == f"no model has answered: {', '.join([f'openai:stub: {reason}'] * 3)}"
        model.play(FINE)
        await talk.say("Hi")
        assert agent.problem() == ""
    assert detail == f"AgentUnavailable: no model has answered: {', '.join([f'openai:stub: {reason}'] * 3)}"
    assert "SECRET" not in caplog.text


async def test_a_turn_that_was_not_answered_says_for_a_minute_how_the_agent_is(
    model: StubModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that looks at /health before it starts would wait for ever for another one's turn."""
    now = 1000.0
    monkeypatch.setattr(answering, "monotonic", lambda: now)
    model.play(fails(401))
    agent = desk(model)
    async with talking(agent) as talk:
        await goes_down(talk)
        now += 59
        assert agent.problem() == "no model has answered: openai:stub: unauthorized (401)"
        now += 2
        assert agent.problem() == ""


REFUSED = {
    "unauthorized (401)": fails(401),
    "unauthorized (403)": fails(403),
    "no_such_model (404)": fails(404),
    "refused_request (400)": fails(400),
    "quota_exceeded (429)": fails(429, '{"error": {"code": "insufficient_quota", "message": "SECRET", "type": "x"}}'),
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_what_will_not_pass_is_503_at_once(model: StubModel, reason: str) -> None:
    model.play(REFUSED[reason], FINE)
    agent = desk(model)
    async with talking(agent) as talk:
        _, detail = await goes_down(talk)
        # of what was asked, the next turn may be free
        assert bool(agent.problem()) is not reason.startswith("refused_request")
    assert detail == f"AgentUnavailable: no model has answered: openai:stub: {reason}"
    assert len(model.requests) == 1


def longer(message: str, **error: Any) -> Answer:
    return fails(400, json.dumps({"error": {"message": message, **error}}))


TOO_LONG = {
    "OpenAI": longer("SECRET", code="context_length_exceeded", type="invalid_request_error"),
    "vLLM": fails(
        400, '{"object": "error", "message": "This model\'s maximum context length is 9 tokens.", "code": 400}'
    ),
    "llama.cpp": longer("the request exceeds the available context size", code=400, type="exceed_context_size_error"),
    "a proxy": fails(413, "<html>SECRET</html>", content_type="text/html"),
}


@pytest.mark.parametrize("who", TOO_LONG)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_that_is_too_long_is_said_to_be(model: StubModel, who: str, streamed: bool) -> None:
    model.play(TOO_LONG[who], FINE)
    agent = desk(model)
    async with talking(agent) as talk:
        with pytest.raises(ContextExceeded) as raised:
            await talk.say("Hi", told=Told() if streamed else None)
        [failed] = await talk.failures()
        assert agent.problem() == ""  # the next turn may be shorter
        assert (await talk.say("Hi")).reply == "All is well."
    assert raised.value.message == "The conversation is too long for the agent"
    number = 413 if who == "a proxy" else 400
    assert failed.detail == f"ConversationTooLong: no model has answered: openai:stub: too_long ({number})"
    assert len(model.requests) == 2


@pytest.mark.parametrize("who", TOO_LONG)
async def test_a_conversation_that_is_too_long_for_the_model_of_an_adapted_agent_is_said_to_be(
    model: StubModel, who: str
) -> None:
    model.play(TOO_LONG[who], fails(400, "{}"))
    async with AsyncOpenAI(base_url=model.url, api_key="none", max_retries=0) as client:
        provider = OpenAIProvider(openai_client=client)
        framework: Any = pydantic_ai.Agent(OpenAIChatModel("stub", provider=provider))
        async with talking(PydanticAIAgent(framework, name="desk")) as talk:
            with pytest.raises(ContextExceeded):
                await talk.say("Hi")
            with pytest.raises(AgentFailed):
                await talk.say("Hi")
            [failed, _] = await talk.failures()
    assert failed.detail == f"ConversationTooLong: too_long ({413 if who == 'a proxy' else 400})"


async def test_a_conversation_may_be_too_long_for_one_model_and_not_for_the_next(model: StubModel) -> None:
    with StubModel(FINE) as other:
        agent = desk(model, fallback=(Endpoint(model="openai:other", base_url=other.url),))
        model.play(TOO_LONG["OpenAI"])
        async with talking(agent) as talk:
            assert (await talk.say("Hi")).reply == "All is well."
            other.play(fails(401))
            await goes_down(talk)  # the other one may come back
            other.play(TOO_LONG["OpenAI"])
            with pytest.raises(ContextExceeded):
                await talk.say("Hi")


async def test_a_model_that_says_it_failed_is_asked_again() -> None:
    answers = [ModelResponse([TextPart("Half of")], finish_reason="error"), ModelResponse([TextPart("All of it.")])]
    agent = LlmAgent(model=FunctionModel(lambda messages, info: answers.pop(0)), options=LlmOptions(backoff=0))
    async with talking(agent) as talk:
        assert (await talk.say("Hi")).reply == "All of it."


async def test_a_model_that_is_not_there_is_503() -> None:
    agent = LlmAgent(model="openai:stub", base_url="http://127.0.0.1:9/v1", options=LlmOptions(retries=1, backoff=0))
    async with talking(agent) as talk:
        _, detail = await goes_down(talk)
    assert detail.count("connection") == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_that_never_answers_is_left_for_the_next(model: StubModel, streamed: bool) -> None:
    with StubModel(says("The other one.")) as other:
        second = Endpoint(model="openai:other", base_url=other.url)
        model.play(never())
        async with talking(desk(model, fallback=(second,), **QUICK)) as talk:
            turn = await talk.say("Hi", told=Told() if streamed else None)
    assert (turn.reply, len(model.requests)) == ("The other one.", 1)
    assert told_of(turn) == {
        "model": "openai:other",
        "steps": 1,
        "finish": "stop",
        "problems": ["openai:stub: timeout"],
    }


async def test_a_model_that_has_taken_over_goes_on_with_the_turn(model: StubModel) -> None:
    with StubModel(calls("look_up", order_id="7"), says("It is sent.")) as other:
        second = Endpoint(model="openai:other", base_url=other.url)
        model.play(fails(401))
        async with talking(desk(model, fallback=(second,))) as talk:
            assert (await talk.say("Hi")).reply == "It is sent."
    assert (len(model.requests), len(other.requests)) == (1, 2)


async def test_a_dead_model_is_left_alone_until_one_request_finds_it_well(model: StubModel) -> None:
    model.play(fails(500))
    with StubModel(says("From the second.")) as other:
        second = Endpoint(model="openai:other", base_url=other.url)
        agent = desk(model, fallback=(second,), **QUICK)
        async with talking(agent) as talk:
            for number in range(4):
                await talk.say("Hi", session_id=f"s{number}")
            asked = len(model.requests)
            turn = await talk.say("Hi", session_id="later")
            assert told_of(turn)["problems"] == ["openai:stub: left_alone"]
            assert (len(model.requests), asked) == (5, 5)
            answering: Any = agent._answering
            answering._models[0].breaker._refusing_until = 0.0
            model.play(says("Well again."))
            assert (await talk.say("Hi", session_id="last")).reply == "Well again."


async def test_the_turns_deadline_holds_over_the_models_timeout(model: StubModel) -> None:
    model.play(never())
    async with talking(desk(model, timeout=60), Limits(turn_timeout=0.2)) as talk:
        with pytest.raises(TurnTimeout):
            await talk.say("Hi")


async def test_a_pause_that_the_model_asks_for_is_kept_if_the_turn_has_time(model: StubModel) -> None:
    model.play(fails(429, retry_after_ms="30"), FINE)
    async with talking(desk(model)) as talk:
        turn = await talk.say("Hi")
    assert turn.reply == "All is well."
    assert turn.ran_us >= 30_000


async def test_a_pause_that_is_too_long_is_the_callers(model: StubModel) -> None:
    model.play(fails(429, retry_after="120"), FINE)
    async with talking(desk(model)) as talk:
        error, _ = await goes_down(talk)
    assert (error.retry_after, len(model.requests)) == (120.0, 1)


@pytest.mark.parametrize("broken", [breaks("Where", " is"), stalls("Where", " is")], ids=["breaks", "stalls"])
async def test_what_a_stream_was_told_is_never_told_again(model: StubModel, broken: Answer) -> None:
    model.play(broken, FINE)
    told = Told()
    async with talking(desk(model, **QUICK)) as talk:
        _, detail = await goes_down(talk, told)
        assert told.text == "Where is"
        assert "broke off" in detail
        assert len(model.requests) == 1


async def test_a_stream_that_broke_before_it_said_anything_is_asked_again(model: StubModel) -> None:
    model.play(breaks("", " \n"), FINE)
    told = Told()
    async with talking(desk(model)) as talk:
        await talk.say("Hi", told=told)
    assert told.text == "All is well."


async def test_a_later_step_is_asked_again_without_what_an_earlier_one_has_said(model: StubModel) -> None:
    model.play(
        calls_all(("look_up", {"order_id": "7"}), text="Let me look."), breaks(), fails(500), says("It is sent.")
    )
    told = Told()
    async with talking(desk(model)) as talk:
        turn = await talk.say("Where is 7?", told=told)
    assert turn.reply == told.text == "Let me look.\n\nIt is sent."
    assert len(turn.tool_calls) == 1


async def test_a_stream_without_an_end_is_broken(model: StubModel) -> None:
    model.play(says("Where is", finish=""))
    async with talking(desk(model)) as talk:
        _, detail = await goes_down(talk, Told())
    assert "broke off" in detail


@pytest.mark.parametrize("arguments", ['{"order_id": ', "[1]", '"7"', '{"order": "7"}', "null"])
async def test_arguments_that_are_wrong_go_back_to_the_model(model: StubModel, arguments: str) -> None:
    model.play(calls_all(("look_up", arguments)), says("Which order?"))
    async with talking(desk(model)) as talk:
        turn = await talk.say("Where is it?")
    assert turn.reply == "Which order?"
    [call] = turn.tool_calls
    assert (call.ok, json.loads(call.result_json)["error"]["type"]) == (False, "invalid_arguments")
    assert model.requests[1]["messages"][-1]["content"] == call.result_json


async def test_a_tool_that_there_is_not_goes_back_to_the_model(model: StubModel) -> None:
    model.play(calls("delete_all"), says("I cannot."))
    async with talking(desk(model)) as talk:
        turn = await talk.say("Delete all.")
    assert (turn.reply, turn.tool_calls[0].ok) == ("I cannot.", False)
    assert "there is no tool named 'delete_all'" in model.requests[1]["messages"][-1]["content"]


async def test_endless_calls_end_in_an_apology(model: StubModel) -> None:
    model.play(calls("look_up", order_id="7"))
    async with talking(desk(model, max_steps=4)) as talk:
        turn = await talk.say("Hi")
    assert (turn.reply, len(turn.tool_calls)) == ("I'm sorry, I can't answer that.", 3)
    assert told_of(turn) == {"model": "openai:stub", "steps": 4, "finish": "steps"}


async def test_more_calls_than_a_turn_may_make_fail_it(model: StubModel) -> None:
    model.play(calls_all(*[("look_up", {"order_id": str(n)}) for n in range(5)]), FINE)
    async with talking(desk(model), Limits(turn_tool_calls=4)) as talk:
        with pytest.raises(LimitExceeded):
            await talk.say("Hi")


async def test_more_text_than_a_reply_may_have_fails_the_turn_and_asks_nobody_else(model: StubModel) -> None:
    model.play(says(*["word "] * 100))
    async with talking(desk(model), Limits(reply_bytes=200)) as talk:
        for told in (None, Told()):
            with pytest.raises(LimitExceeded):
                await talk.say("Hi", told=told)
    assert len(model.requests) == 2


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("answer", "reply", "finish"),
    [
        (says(refusal="I won't do that."), "I won't do that.", "refusal"),
        (says(finish="content_filter"), "I'm sorry, I can't answer that.", "content_filter"),
        (says("You should", finish="content_filter"), "You should", "content_filter"),
        (says("Once upon a", finish="length"), "Once upon a", "length"),
        (says(finish="length"), "I'm sorry, I can't answer that.", "length"),
    ],
)
async def test_a_model_that_was_stopped_has_its_say(
    model: StubModel, answer: Answer, reply: str, finish: str, streamed: bool
) -> None:
    model.play(answer)
    told = Told() if streamed else None
    async with talking(desk(model, confidence="logprobs")) as talk:
        turn = await talk.say("Hi", told=told)
    assert (turn.reply, told_of(turn)["finish"], len(model.requests)) == (reply, finish, 1)
    assert told is None or told.text == reply


async def test_without_a_count_the_usage_is_greenrooms_own(model: StubModel) -> None:
    model.play(says("Hello.", usage=None))
    async with talking(desk(model)) as talk:
        turn = await talk.say("Hi")
        streamed = await talk.say("Hi", told=Told())
    assert (turn.prompt_tokens, turn.completion_tokens) == (5, 2)
    assert streamed.completion_tokens == 2


async def test_a_turn_that_is_stopped_leaves_its_model(model: StubModel, caplog: pytest.LogCaptureFixture) -> None:
    model.play(never())
    with caplog.at_level(logging.WARNING):
        async with talking(desk(model)) as talk:
            turn = asyncio.ensure_future(talk.say("Hi"))
            assert await asyncio.to_thread(model.asked.wait, 20)
            turn.cancel()
            with pytest.raises((asyncio.CancelledError, GreenroomError)):
                await turn
    assert "gave no answer" not in caplog.text
