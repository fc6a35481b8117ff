"""What the support agent says of its own turns: each key where it is true, false and absent."""

from typing import Any

import pytest

from greenroom.agents.support import agent
from greenroom.sdk.testing import PlayedReply, play


async def last(*texts: str, **given: Any) -> PlayedReply:
    return (await play(agent, texts, **given))[-1]


async def test_order_found() -> None:
    assert (await last("I need help with order 12345")).evaluation["order_found"] is True
    assert (await last("I need help with order 99999")).evaluation["order_found"] is False
    assert (await last("where are 12345 and 99999")).evaluation["order_found"] is False
    assert "order_found" not in (await last("hello")).evaluation
    assert "order_found" not in (await last("what is your return policy?")).evaluation


async def test_tool_called_and_tool_success() -> None:
    evaluation = (await last("where is 12345")).evaluation
    assert (evaluation["tool_called"], evaluation["tool_success"]) == ("get_order_status", True)
    evaluation = (await last("where is 99999")).evaluation
    assert (evaluation["tool_called"], evaluation["tool_success"]) == ("get_order_status", False)
    assert not {"tool_called", "tool_success"} & (await last("where is my order")).evaluation.keys()


async def test_response_included_status() -> None:
    assert (await last("where is 12345")).evaluation["response_included_status"] is True
    assert (await last("where is 99999")).evaluation["response_included_status"] is False
    assert "response_included_status" not in (await last("show my orders")).evaluation
    assert "response_included_status" not in (await last("hello")).evaluation


async def test_customer_informed() -> None:
    assert (await last("where is 12345")).evaluation["customer_informed"] is True
    assert (await last("where is 99999")).evaluation["customer_informed"] is True
    assert (await last("does it fly to the moon on mondays?")).evaluation["customer_informed"] is False
    assert "customer_informed" not in (await last("where is my order")).evaluation


async def test_customer_acknowledged() -> None:
    assert (await last("I need help with order 12345")).evaluation["customer_acknowledged"] is True
    assert (await last("this is terrible, where is 12345")).evaluation["customer_acknowledged"] is True
    again = ["this is terrible, where is 12345"] * 3
    assert (await last(*again)).evaluation["customer_acknowledged"] is False
    assert "customer_acknowledged" not in (await last("where is 12345")).evaluation


async def test_resolution_step_counts_the_turns_of_a_matter() -> None:
    texts = ["I need help with order 12345", "cancel it", "yes", "what is your return policy?", "and 12345?"]
    replies = await play(agent, texts)
    assert [reply.evaluation["resolution_step"] for reply in replies[:4]] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("text", "metadata", "tone"),
    [
        ("where is 12345", {}, "friendly"),
        ("where is 12345", {"time_of_day": "morning_rush"}, "concise"),
        ("where is 12345", {"stress_level": "high"}, "empathetic"),
        ("where is 12345", {"stress_level": 0.9}, "empathetic"),
        ("where is 12345", {"stress_level": 2}, "friendly"),
        ("where is 12345", {"stress_level": "low"}, "friendly"),
        ("where is 12345", {"persona": "delivery_worker_bengaluru"}, "empathetic"),
        ("where is 12345", {"persona": {"type": "elderly customer"}}, "patient"),
        ("where is 12345", {"persona": "corporate_lawyer"}, "professional"),
        ("where is 12345", {"persona": "angry_customer"}, "calm"),
        ("where is 12345", {"scenario_id": "financial_stress_delivery"}, "empathetic"),
        ("I am worried about 12345", {}, "empathetic"),
        ("this is ridiculous, where is 12345", {"stress_level": "high"}, "calm"),
        ("where is 12345", {"persona": None, "stress_level": [], "time_of_day": 7, "scenario_id": {}}, "friendly"),
    ],
)
async def test_the_tone_follows_the_customer(text: str, metadata: dict[str, Any], tone: str) -> None:
    assert (await last(text, metadata=metadata)).evaluation["tone"] == tone


async def test_confidence_falls_with_every_doubt() -> None:
    clear = await last("where is order 12345")
    assert clear.confidence == 0.95
    texts = [["wher is ordr 12345 stauts"], ["where is 99999"], ["xyzzy"], ["I need help with 12345", "where is it"]]
    for doubtful in texts:
        reply = await last(*doubtful)
        assert reply.confidence is not None
        assert reply.confidence < 0.95


async def test_name_and_tier_are_used() -> None:
    reply = await last("hi", user_id="u", profile={"name": "Rajesh Kumar", "tier": "gold"})
    assert "Hello, Rajesh!" in reply.text
    assert "gold member" in reply.text
    replies = await play(agent, ["where is 12345", "where is 12345"], metadata={"name": "Mei"})
    assert [reply.text.startswith("Hi Mei!") for reply in replies] == [True, False]


async def test_the_time_of_day_is_greeted() -> None:
    assert (await last("hi", metadata={"time_of_day": "evening"})).text.startswith("Good evening!")


async def test_a_rush_makes_replies_shorter() -> None:
    calm = await last("I need help with order 12345")
    rush = await last("I need help with order 12345", metadata={"time_of_day": "morning_rush"})
    assert len(rush.text) < len(calm.text)


async def test_the_agent_opens_when_nobody_has_spoken() -> None:
    reply = await last([{"role": "system", "content": "You are a helpful agent."}])  # type: ignore[arg-type]
    assert reply.text.startswith("Hello!")
