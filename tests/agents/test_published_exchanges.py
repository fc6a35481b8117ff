"""The two published exchanges, from their files, and paraphrases of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from greenroom.agents.support import agent
from greenroom.sdk.testing import PlayedReply, play

EXAMPLES = Path(__file__).parents[1] / "spec" / "examples"


def published(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return body


async def exchange(name: str) -> PlayedReply:
    request = published(f"{name}.request")
    [reply] = await play(
        agent,
        [request["messages"]],
        user_id=request.get("user_id", ""),
        session_id=request.get("session_id", ""),
        metadata=request.get("metadata"),
    )
    return reply


async def test_the_published_request_for_help_is_answered_as_published() -> None:
    answer = published("chat-basic.response")
    reply = await exchange("chat-basic")
    assert reply.text.startswith(answer["choices"][0]["message"]["content"])
    assert [call.name for call in reply.tool_calls] == answer["metadata"]["tools_used"]
    assert reply.confidence == answer["metadata"]["agent_confidence"]
    assert reply.evaluation.items() >= answer["evaluation_metadata"].items()


async def test_the_published_question_for_the_status_is_answered_as_published() -> None:
    answer = published("chat-tools.response")
    message = answer["choices"][0]["message"]
    function = message["tool_calls"][0]["function"]
    reply = await exchange("chat-tools")
    assert reply.text == message["content"]
    [call] = reply.tool_calls
    assert (call.name, call.arguments_json) == (function["name"], function["arguments"])
    assert json.loads(call.result_json) == function["result"]
    assert reply.evaluation.items() >= answer["evaluation_metadata"].items()


async def test_high_stress_in_the_full_example_is_met_with_sympathy() -> None:
    reply = await exchange("chat-full")
    assert [call.name for call in reply.tool_calls] == ["order_lookup"]
    assert reply.evaluation["tone"] == "empathetic"
    assert "stressful" in reply.text
    assert reply.evaluation["customer_acknowledged"] is True


@pytest.mark.parametrize("name", ["chat-minimal", "chat-curl"])
async def test_the_small_examples_get_a_welcome_and_run_no_tool(name: str) -> None:
    reply = await exchange(name)
    assert reply.text.startswith("Hello!")
    assert reply.tool_calls == ()


STATUS = """
where's my parcel 12345
has order no. 12345 gone out yet?
can you track #12345
wheres my ordr 12345??
any update on order 12345
When will 12345 arrive?
I was wondering if you could tell me where order number 12345 is right now
did you ship 12345 already
is order 12345 on its way?
track order 12345 pls
hey, what's happening with my order (12345)
Order 12345 - where is it
status 12345
ETA for #12345?
how long until 12345 gets here
could you check on the progress of my delivery, number 12345
My order is one two three four five. Where is it?
whats teh stauts of ordr #12345
has my pacakge 12345 been shiped
12345 - still not arrived!!
"""

HELP = """
I need help with my order 12345
can you help me with order number 12345?
I have a problem with my order #12345
there's an issue with 12345
could you look up order 12345 for me
I have a question about order 12345
It's about my order, #12345
order 12345
I need some assistance regarding my order no 12345
plz help me with ordr 12345
"""


@pytest.mark.parametrize("text", STATUS.strip().splitlines())
async def test_every_way_to_ask_where_an_order_is_asks_for_its_status(text: str) -> None:
    [reply] = await play(agent, [text], user_id="sim_user_abc123")
    assert [(call.name, call.arguments_json) for call in reply.tool_calls] == [
        ("get_order_status", '{"order_id": "12345"}')
    ]
    assert "Order #12345 is currently being prepared and will be shipped within 2 hours." in reply.text
    assert reply.evaluation["response_included_status"] is True


@pytest.mark.parametrize("text", HELP.strip().splitlines())
async def test_every_way_to_ask_for_help_with_an_order_looks_it_up(text: str) -> None:
    [reply] = await play(agent, [text], user_id="sim_user_abc123")
    assert [(call.name, call.arguments_json) for call in reply.tool_calls] == [
        ("order_lookup", '{"order_id": "12345"}')
    ]
    assert reply.evaluation["order_found"] is True
    assert "happy to help" in reply.text
