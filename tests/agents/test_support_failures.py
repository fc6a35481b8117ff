"""The support agent when its tools fail: it says what failed, offers what is possible, and claims nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from greenroom.agents.support import agent
from greenroom.agents.support.tools import (
    cancel_order,
    change_delivery_address,
    escalate_to_human,
    get_order_status,
    list_orders,
    order_lookup,
    request_refund,
    search_policies,
)
from greenroom.sdk import Tool, ToolError
from greenroom.sdk.testing import play

CLAIMS = ("Done", "is cancelled", "have requested", "now goes to")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a tool answer or fail, call by call; after the last it is the real one again."""

    def scripted(tool: Tool[..., Any], *answers: Any) -> None:
        left, real = list(answers), tool.function
        assert tool.signature  # read off the real function

        async def function(**arguments: Any) -> Any:
            if not left:
                return await real(**arguments)
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(tool, "function", function)

    return scripted


DOWN = ToolError("The service does not answer.", code="unavailable")

CASES: list[tuple[Tool[..., Any], list[str], str]] = [
    (order_lookup, ["I need help with order 12345"], "order system"),
    (get_order_status, ["where is 12345?"], "order system"),
    (list_orders, ["show me my orders"], "order system"),
    (cancel_order, ["cancel 12345", "yes"], "cancellation service"),
    (change_delivery_address, ["change address of 12345 to 1 Hill Road, Bandra, Mumbai", "yes"], "address service"),
    (request_refund, ["refund 20011", "yes"], "refund service"),
    (search_policies, ["what is your return policy?"], "policy search"),
    (escalate_to_human, ["I want to talk to a human"], "not been handed over"),
]


@pytest.mark.parametrize("error", [DOWN, TimeoutError(), KeyError("orders"), ValueError("boom \ud800")], ids=repr)
@pytest.mark.parametrize(("tool", "texts", "words"), CASES, ids=[tool.name for tool, _, _ in CASES])
async def test_a_tool_that_fails_is_named_and_nothing_is_claimed(
    script: Callable[..., None], tool: Tool[..., Any], texts: list[str], words: str, error: Exception
) -> None:
    script(tool, error)
    reply = (await play(agent, texts, user_id="rajesh.kumar"))[-1]
    assert words in reply.text
    assert not any(claim in reply.text for claim in CLAIMS)
    assert "boom" not in reply.text
    assert "try again" in reply.text
    assert reply.evaluation["tool_success"] is False
    assert reply.evaluation["customer_informed"] is False
    assert "order_found" not in reply.evaluation
    assert reply.confidence is not None
    assert reply.confidence < 0.8


@pytest.mark.parametrize(("tool", "texts", "words"), CASES, ids=[tool.name for tool, _, _ in CASES])
async def test_a_yes_tries_again_and_does_it(
    script: Callable[..., None], tool: Tool[..., Any], texts: list[str], words: str
) -> None:
    script(tool, DOWN)
    reply = (await play(agent, [*texts, "yes, try again"], user_id="rajesh.kumar"))[-1]
    assert [call.name for call in reply.tool_calls][:1] == [tool.name]
    assert reply.evaluation["tool_success"] is True
    assert words not in reply.text


async def test_a_no_leaves_it_after_a_failure(script: Callable[..., None]) -> None:
    script(request_refund, DOWN, DOWN)
    replies = await play(agent, ["refund 20011", "yes", "no", "ok"], user_id="rajesh.kumar")
    assert "left order #20011 as it is" in replies[2].text
    assert replies[3].tool_calls == ()


async def test_a_human_takes_over_after_a_failure(script: Callable[..., None]) -> None:
    script(request_refund, DOWN)
    replies = await play(agent, ["refund 20011", "yes", "a human please"], user_id="rajesh.kumar")
    [call] = replies[-1].tool_calls
    assert call.name == "escalate_to_human"
    assert json.loads(call.arguments_json)["order_id"] == "20011"


@pytest.mark.parametrize("answer", [None, "queued", 7, [], {}, {"status": "pending"}, {"status": None}, {"ok": False}])
@pytest.mark.parametrize(("tool", "texts", "words"), CASES[3:6], ids=[tool.name for tool, _, _ in CASES[3:6]])
async def test_an_effect_is_claimed_only_when_its_tool_says_so(
    script: Callable[..., None], tool: Tool[..., Any], texts: list[str], words: str, answer: Any
) -> None:
    script(tool, answer)
    reply = (await play(agent, texts, user_id="rajesh.kumar"))[-1]
    assert not any(claim in reply.text for claim in CLAIMS)


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"status": 5}, {"status": ["x"]}, {"orders": 3}, {"passages": [1]}, "?"]
)
@pytest.mark.parametrize(
    "tool", [order_lookup, get_order_status, list_orders, search_policies], ids=lambda tool: tool.name
)
async def test_odd_answers_of_scripted_tools_are_survived(
    script: Callable[..., None], tool: Tool[..., Any], answer: Any
) -> None:
    texts = {
        "order_lookup": "what is in order 12345",
        "get_order_status": "where is 12345",
        "list_orders": "my orders",
        "search_policies": "what is your return policy",
    }
    script(tool, answer)
    [reply] = await play(agent, [texts[tool.name]])
    assert reply.text


async def test_a_status_that_the_shop_does_not_know_is_told_as_it_is(script: Callable[..., None]) -> None:
    script(get_order_status, {"order_id": "999", "status": "seized_by_pirates"})
    [reply] = await play(agent, ["where is order 999"])
    assert "Order #999 is seized by pirates." in reply.text
    assert reply.evaluation["response_included_status"] is True


async def test_a_refusal_at_the_last_moment_is_told(script: Callable[..., None]) -> None:
    script(cancel_order, ToolError("It has just been shipped.", code="not_possible"))
    reply = (await play(agent, ["cancel 12345", "yes"]))[-1]
    assert "not possible: It has just been shipped." in reply.text
    assert not any(claim in reply.text for claim in CLAIMS)
