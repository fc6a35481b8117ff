"""What an LLM agent makes of a turn: what its model is asked, what becomes of its answer."""

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from llm_talk import agent_of
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from stub_model import StubModel, calls, calls_all, says
from talk import Told, talking

from greenroom.agents.llm import LlmAgent
from greenroom.core.records import Message
from greenroom.sdk import ToolError, Turn, World, tool
from greenroom.sdk.testing import play

SHOP = {"orders": {"7": {"status": "sent"}, "8": {"status": "lost"}}}


@tool
async def get_order(world: World, order_id: str) -> dict[str, Any]:
    """Look up an order.

    Args:
        order_id: Its number.
    """
    if order_id not in world["orders"]:
        raise ToolError("No such order.", code="not_found")
    return dict(world["orders"][order_id])


@tool
def cancel(world: World, order_id: str) -> str:
    """Cancel an order."""
    world["orders"][order_id]["status"] = "cancelled"
    return "done"


@pytest.fixture
def model() -> Iterator[StubModel]:
    with StubModel(says("Hello.")) as model:
        yield model


def shop(model: StubModel, **options: Any) -> LlmAgent:
    return agent_of(model, options=options, instructions="Be brief.", tools=[get_order, cancel], world=SHOP)


def roles(request: dict[str, Any]) -> list[str]:
    return [message["role"] for message in request["messages"]]


async def test_a_models_text_is_the_reply_and_its_count_the_usage(model: StubModel) -> None:
    async with talking(shop(model)) as talk:
        turn = await talk.say("Hi")
    assert (turn.reply, turn.prompt_tokens, turn.completion_tokens) == ("Hello.", 20, 5)
    assert json.loads(turn.reply_metadata_json) == {"llm": {"model": "openai:stub", "steps": 1, "finish": "stop"}}
    [request] = model.requests
    assert request["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert [tool["function"]["name"] for tool in request["tools"]] == ["get_order", "cancel"]
    schema = request["tools"][0]["function"]["parameters"]
    assert schema["properties"]["order_id"] == {"type": "string", "description": "Its number."}


@pytest.mark.parametrize("streamed", [False, True])
async def test_its_calls_run_in_the_toolbox_at_once_and_their_results_go_back(model: StubModel, streamed: bool) -> None:
    asked = calls_all(("get_order", {"order_id": "7"}), ("cancel", {"order_id": "8"}), ("get_order", {"order_id": "9"}))
    model.play(asked, says("One ", "sent, ", "one cancelled."))
    told = Told() if streamed else None
    async with talking(shop(model)) as talk:
        turn = await talk.say("How are they?", told=told)
    assert turn.reply == "One sent, one cancelled."
    assert [(call.name, call.ok) for call in turn.tool_calls] == [
        ("get_order", True),
        ("cancel", True),
        ("get_order", False),
    ]
    assert [change.after for change in turn.tool_calls[1].changes] == ['{"status":"cancelled"}']
    results = [json.loads(message["content"]) for message in model.requests[1]["messages"] if message["role"] == "tool"]
    assert results == [{"status": "sent"}, "done", {"error": {"type": "not_found", "message": "No such order."}}]
    assert (turn.prompt_tokens, turn.completion_tokens) == (40, 10)
    if told is not None:
        assert told.pieces == ["One ", "sent, ", "one cancelled."]
        assert [call.name for call in told.calls] == ["get_order", "cancel", "get_order"]


async def test_the_next_turn_sees_the_earlier_calls_and_the_agent_keeps_nothing(model: StubModel) -> None:
    model.play(calls("get_order", order_id="7"), says("It is sent."), says("You are welcome."))
    async with talking(shop(model)) as talk:
        await talk.say("Where is 7?")
        await talk.say("Thanks")
    messages = model.requests[2]["messages"]
    assert roles(model.requests[2]) == ["system", "user", "assistant", "tool", "assistant", "user"]
    [call] = messages[2]["tool_calls"]
    assert (call["function"]["name"], call["id"]) == ("get_order", messages[3]["tool_call_id"])
    assert messages[4]["content"] == "It is sent."


async def test_system_messages_stand_after_the_instructions(model: StubModel) -> None:
    documents = {"role": "system", "content": "Documents: …"}
    await play(shop(model), [[documents, {"role": "user", "content": "Hi"}]])
    assert [message["content"] for message in model.requests[0]["messages"]] == ["Be brief.", "Documents: …", "Hi"]


async def test_what_is_known_of_the_user_is_told_where_memory_is_on(model: StubModel) -> None:
    remembers, forgets = {"id": "remembers", "memory": True}, {"id": "forgets"}
    for scenario, texts in ((remembers, 2), (forgets, 1)):
        model.play(says("Hello."))
        played = {"metadata": {"scenario_id": scenario["id"]}, "user_metadata": {"likes": "tea"}, "profile": {}}
        await play(shop(model), ["Hi"], user_id="ann", scenarios=[remembers, forgets], **played)
        system = [message["content"] for message in model.requests[0]["messages"] if message["role"] == "system"]
        assert len(system) == texts
        assert ('{"likes": "tea"}' in system[-1]) is (scenario is remembers)


async def test_a_model_may_open_the_conversation(model: StubModel) -> None:
    await play(shop(model), [[{"role": "system", "content": "You call a customer."}]])
    assert roles(model.requests[0]) == ["system", "system", "user"]


async def test_calls_that_nobody_answered_are_not_shown_to_a_model(model: StubModel) -> None:
    foreign = {"id": "x1", "type": "function", "function": {"name": "theirs", "arguments": "{}"}}
    answered = {"id": "x2", "type": "function", "function": {"name": "theirs", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "One moment.", "tool_calls": [foreign, answered]},
        {"role": "tool", "content": "42", "tool_call_id": "x2"},
        {"role": "assistant", "content": "It is 42."},
        {"role": "user", "content": "Thanks"},
    ]
    await play(shop(model), [said])
    messages = model.requests[0]["messages"][1:]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["x2"]


async def test_a_reply_is_told_as_it_is_made_and_what_steps_say_is_set_apart(model: StubModel) -> None:
    model.play(calls_all(("get_order", {"order_id": "7"}), text="Let me look."), says(" \n", "\nIt is", " sent."))
    told = Told()
    async with talking(shop(model)) as talk:
        streamed = await talk.say("Where is 7?", told=told)
    assert told.pieces == ["Let me look.", "\n\nIt is", " sent."]
    assert streamed.reply == "Let me look.\n\nIt is sent." == told.text
    assert all(request["stream"] for request in model.requests)
    assert (streamed.prompt_tokens, streamed.completion_tokens) == (40, 10)


async def test_a_whole_reply_reads_as_the_streamed_one(model: StubModel) -> None:
    model.play(calls_all(("get_order", {"order_id": "7"}), text="Let me look."), says(" \n", "\nIt is", " sent."))
    async with talking(shop(model)) as talk:
        assert (await talk.say("Where is 7?")).reply == "Let me look.\n\nIt is sent."
    assert not any(request["stream"] for request in model.requests)


async def test_a_model_that_cannot_stream_is_told_whole(model: StubModel) -> None:
    model.play(says("One ", "piece."))
    told = Told()
    async with talking(shop(model, stream=False)) as talk:
        await talk.say("Hi", told=told)
    assert (told.pieces, model.requests[0]["stream"]) == (["One piece."], False)


async def test_what_the_client_asks_of_the_model_is_passed_on_over_the_agents_own(model: StubModel) -> None:
    asked = {
        "temperature": 0.1,
        "max_completion_tokens": 9,
        "top_p": 0.5,
        "seed": 4,
        "stop": "END",
        "presence_penalty": 0.5,
        "logit_bias": {"5": 1},
        "reasoning_effort": "low",
        "frequency_penalty": "very",
        "top_k": 0,
        "model": "another",
        "tools": [{"type": "function"}],
    }
    async with talking(shop(model, temperature=0.9, max_tokens=100, parallel_tool_calls=False)) as talk:
        await talk.say("Hi", options=asked)
        await talk.say("Hi again")
    first, second = model.requests
    names = (
        "temperature",
        "max_tokens",
        "top_p",
        "seed",
        "stop",
        "presence_penalty",
        "logit_bias",
        "frequency_penalty",
    )
    assert [first.get(name) for name in names] == [0.1, 9, 0.5, 4, ["END"], 0.5, {"5": 1}, None]
    assert (first["model"], first["reasoning_effort"], len(first["tools"])) == ("stub", "low", 2)
    assert [second.get(name) for name in names[:5]] == [0.9, 100, None, None, None]
    assert second["parallel_tool_calls"] is False


async def test_at_the_last_step_a_model_has_no_tools_and_answers(model: StubModel) -> None:
    model.play(calls("get_order", order_id="7"), calls("get_order", order_id="7"), says("It is sent."))
    async with talking(shop(model, max_steps=3)) as talk:
        turn = await talk.say("Where is 7?")
    assert (turn.reply, len(turn.tool_calls)) == ("It is sent.", 2)
    assert [request["tool_choice"] for request in model.requests] == ["auto", "auto", "none"]


async def test_scenarios_script_a_models_calls(model: StubModel) -> None:
    model.play(calls("get_order", order_id="7"), says("It is late."))
    scenario = {"id": "late", "tools": {"get_order": [{"return": {"status": "late"}}]}}
    [played] = await play(shop(model), ["Where is 7?"], metadata={"scenario_id": "late"}, scenarios=[scenario])
    assert (played.tool_calls[0].result_json, bool(played.tool_calls[0].scripted_by)) == ('{"status":"late"}', True)


@pytest.mark.parametrize("streamed", [False, True])
async def test_confidence_is_the_mean_probability_of_the_replys_tokens(model: StubModel, streamed: bool) -> None:
    model.play(says("Sure", "."), says("Sure", ".", logprobs=(math.log(0.9), math.log(0.4))))
    async with talking(shop(model, confidence="logprobs")) as talk:
        assert (await talk.say("Sure?", told=Told() if streamed else None)).confidence is None
        assert (await talk.say("And now?", told=Told() if streamed else None)).confidence == 0.6
    assert model.requests[0]["logprobs"] is True


async def test_sessions_share_an_agent_and_nothing_else() -> None:
    def echo(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = [str(part.content) for message in messages for part in message.parts if hasattr(part, "content")]
        return ModelResponse([TextPart("/".join(said))])

    async with talking(LlmAgent(model=FunctionModel(echo))) as talk:
        for round in ("one", "two"):
            turns = await asyncio.gather(*(talk.say(f"{round} {n}", session_id=f"s{n}") for n in range(20)))
    assert [turn.reply for turn in turns] == [f"one {n}/one {n}/two {n}" for n in range(20)]


async def test_two_messages_in_a_row_are_both_sent(model: StubModel) -> None:
    async with talking(shop(model)) as talk:
        await talk.send((Message("user", "One."), Message("user", "Two.")))
    assert [message["content"] for message in model.requests[0]["messages"]] == ["Be brief.", "One.", "Two."]


async def test_a_tool_of_the_turn_may_ask_for_what_is_injected(model: StubModel) -> None:
    @tool
    def who(turn: Turn) -> int:
        """Says which turn it is."""
        return turn.number

    model.play(calls("who"), says("The first."))
    async with talking(agent_of(model, tools=[who])) as talk:
        assert (await talk.say("Which turn?")).tool_calls[0].result_json == "1"


async def test_where_memory_is_on_the_model_reads_what_it_noted_in_an_earlier_session(model: StubModel) -> None:
    @tool
    def remember(turn: Turn, fact: str, about: str) -> str:
        """Note a fact about the user for later conversations."""
        turn.remember(fact, key=about)
        return "noted"

    model.play(calls("remember", fact="by e-mail", about="channel"), says("Noted."), says("By e-mail?"))
    async with talking(agent_of(model, instructions="Be brief.", tools=[remember]), memory=True) as talk:
        await talk.say("Reach me by e-mail.", user_id="ann")
        await talk.say("Hello!", user_id="ann", session_id="s2")
        await talk.say("Hello!", user_id="bob", session_id="s3")
    first, _, later, stranger = ([one["content"] for one in request["messages"]] for request in model.requests)
    assert first == ["Be brief.", "Reach me by e-mail."]
    assert stranger == ["Be brief.", "Hello!"]
    [instructions, known, hello] = later
    assert (instructions, hello) == ("Be brief.", "Hello!")
    assert "\n- channel: by e-mail\n" in known
