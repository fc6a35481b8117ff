"""The support agent's tools and their world, without the talk around them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import greenroom.agents.support as support
from greenroom.agents.support import agent
from greenroom.agents.support.states import STATES, tell
from greenroom.sdk import Agent, Reply, ToolFailed, Turn
from greenroom.sdk.testing import PlayedReply, play

WORLD: dict[str, Any] = json.loads((Path(support.__file__).parent / "data" / "world.json").read_text())
ORDERS: dict[str, dict[str, Any]] = WORLD["orders"]


def caller(tool: str, world: dict[str, Any] = WORLD, **arguments: str) -> Agent:
    """An agent that does nothing but call one of the tools."""
    direct = Agent("direct", tools=agent.tools, world=world)

    @direct.reply
    async def reply(turn: Turn) -> Reply:
        try:
            return Reply(json.dumps(await turn.call(tool, **arguments)))
        except ToolFailed as failed:
            return Reply(json.dumps({"failed": failed.type, "message": failed.message}))

    return direct


async def called(tool: str, user_id: str = "", **arguments: str) -> tuple[Any, PlayedReply]:
    [reply] = await play(caller(tool, **arguments), ["go"], user_id=user_id)
    return json.loads(reply.text), reply


def test_the_shop_has_some_thirty_orders_of_several_people_in_every_state() -> None:
    assert 25 <= len(ORDERS) <= 40
    assert len({order["customer"] for order in ORDERS.values()}) >= 5
    assert {order["status"] for order in ORDERS.values()} == STATES.keys()
    assert [key for key, order in ORDERS.items() if order["customer"] == "anyone"] == ["12345"]


@pytest.mark.parametrize("number", ORDERS)
async def test_every_order_is_told_to_its_owner(number: str) -> None:
    owner = ORDERS[number]["customer"]
    [reply] = await play(agent, [f"Where is order {number}?"], user_id="" if owner == "anyone" else owner)
    assert f"Order #{number} is {tell({'order_id': number, **ORDERS[number]})}." in reply.text
    assert "None" not in reply.text
    assert "{" not in reply.text


@pytest.mark.parametrize("user_id", ["", "sim_user_abc123", "priya.sharma", "anyone"])
async def test_the_published_order_belongs_to_whoever_asks(user_id: str) -> None:
    result, _ = await called("get_order_status", user_id, order_id="12345")
    assert result == {
        "order_id": "12345",
        "status": "preparing",
        "estimated_ship_time": "2 hours",
        "tracking_number": None,
    }


@pytest.mark.parametrize("tool", ["get_order_status", "order_lookup", "cancel_order", "request_refund"])
@pytest.mark.parametrize("user_id", ["", "priya.sharma", "stranger"])
async def test_an_order_of_somebody_else_cannot_be_told_from_one_that_does_not_exist(tool: str, user_id: str) -> None:
    other, played = await called(tool, user_id, order_id="20011")
    unknown, _ = await called(tool, user_id, order_id="20999")
    assert other["failed"] == "not_found"
    assert {key: value.replace("20011", "20999") for key, value in other.items()} == unknown
    assert played.world == WORLD


async def test_an_address_of_somebody_else_cannot_be_changed() -> None:
    result, played = await called("change_delivery_address", "stranger", order_id="20004", address="1 Road, Town")
    assert result["failed"] == "not_found"
    assert played.world == WORLD


@pytest.mark.parametrize(("user_id", "count"), [("", 1), ("stranger", 1), ("priya.sharma", 6), ("anyone", 1)])
async def test_a_list_holds_ones_own_orders_only(user_id: str, count: int) -> None:
    result, _ = await called("list_orders", user_id)
    own = {key for key, order in ORDERS.items() if order["customer"] in ("anyone", user_id)}
    assert {order["order_id"] for order in result["orders"]} == own
    assert len(own) == count


@pytest.mark.parametrize("number", ORDERS)
async def test_an_effect_happens_exactly_where_the_state_allows_it(number: str) -> None:
    owner, state = ORDERS[number]["customer"], STATES[ORDERS[number]["status"]]
    arguments = {"cancel": {}, "address": {"address": "1 Road, Town 12"}}
    for effect, tool in (("cancel", "cancel_order"), ("address", "change_delivery_address")):
        result, played = await called(tool, owner, order_id=number, **arguments[effect])
        allowed = not getattr(state, effect)
        assert ("failed" not in result) is allowed
        assert (played.world != WORLD) is allowed
        if not allowed:
            assert result["failed"] == "not_possible"


async def test_a_cancelled_order_that_was_paid_is_paid_back() -> None:
    result, played = await called("cancel_order", order_id="12345")
    assert result == {"order_id": "12345", "status": "cancelled", "refund_amount": "1998 INR"}
    assert played.world["orders"]["12345"]["status"] == "cancelled"
    unpaid, _ = await called("cancel_order", "lucas.moreau", order_id="20041")
    assert unpaid["refund_amount"] is None


async def test_a_refund_is_written_down_once() -> None:
    [first, second] = await play(caller("request_refund", order_id="20011"), ["go", "go"], user_id="rajesh.kumar")
    assert json.loads(first.text)["refund_id"] == "R20011"
    assert json.loads(second.text)["failed"] == "not_possible"
    assert list(second.world["refunds"]) == ["R20011"]


@pytest.mark.parametrize(
    ("user", "number", "reason", "words"),
    [("priya.sharma", "20003", "", "77 days ago"), ("daniel.okafor", "20023", "", "final sale")],
)
async def test_a_refund_outside_the_rules_says_which(user: str, number: str, reason: str, words: str) -> None:
    result, _ = await called("request_refund", user, order_id=number, reason=reason)
    assert result["failed"] == "not_possible"
    assert words in result["message"]


async def test_a_final_sale_that_arrived_damaged_is_refunded() -> None:
    result, _ = await called("request_refund", "daniel.okafor", order_id="20023", reason="damaged")
    assert result["status"] == "refund_requested"


async def test_members_wait_less() -> None:
    wait = Counter[str]()
    for tier in ("standard", "gold"):
        [reply] = await play(
            caller("request_refund", order_id="20011"), ["go"], user_id="rajesh.kumar", profile={"tier": tier}
        )
        wait[tier] = json.loads(reply.text)["business_days"]
    assert wait["gold"] < wait["standard"]


async def test_handovers_are_numbered_and_members_go_first() -> None:
    replies = await play(caller("escalate_to_human", summary="s"), ["go", "go"], user_id="u", profile={"tier": "gold"})
    assert [json.loads(reply.text)["handover_id"] for reply in replies] == ["H1", "H2"]
    assert json.loads(replies[0].text)["priority"] == "high"


async def test_tools_make_the_collections_that_a_world_lacks() -> None:
    world = {"orders": {"1": {"status": "delivered", "customer": "anyone"}}}
    for tool, arguments in (("request_refund", {"order_id": "1"}), ("escalate_to_human", {"summary": "s"})):
        [reply] = await play(caller(tool, world, **arguments), ["go"])
        assert "failed" not in json.loads(reply.text)


DOCUMENTS = """# Store pickup
Orders can be picked up in our store in Jayanagar from Monday to Friday.

Return policy: Items may be returned within 45 days. You need the receipt."""


async def test_documents_of_the_session_are_found_before_the_policies() -> None:
    [reply] = await play(
        agent, [[{"role": "system", "content": DOCUMENTS}, {"role": "user", "content": "What is your return policy?"}]]
    )
    assert "within 45 days" in reply.text
    [call] = reply.tool_calls
    sources = [passage["source"] for passage in json.loads(call.result_json)["passages"]]
    assert sources[0] == "document"
    assert "policy" in sources


async def test_a_document_answers_what_no_policy_knows() -> None:
    [reply] = await play(
        agent,
        [
            [
                {"role": "system", "content": DOCUMENTS},
                {"role": "user", "content": "Do you have store pickup in Jayanagar?"},
            ]
        ],
    )
    assert "picked up in our store" in reply.text


async def test_documents_of_one_session_are_unknown_to_the_next() -> None:
    await test_a_document_answers_what_no_policy_knows()
    [reply] = await play(agent, ["Do you have store pickup in Jayanagar?"])
    assert "our store" not in reply.text


async def test_instructions_to_the_agent_are_no_documents() -> None:
    system = "You are a helpful customer service agent. Always be polite about returns and refunds."
    [reply] = await play(
        agent, [[{"role": "system", "content": system}, {"role": "user", "content": "return policy?"}]]
    )
    assert "Always be polite" not in reply.text
    assert "within 30 days" in reply.text


async def test_a_delay_that_the_context_reports_is_passed_on() -> None:
    system = "Morning rush. The hub reports two hours of delay."
    request = [{"role": "system", "content": system}, {"role": "user", "content": "Where is 12345?"}]
    [reply] = await play(agent, [request])
    assert "Please note: The hub reports two hours of delay." in reply.text


async def test_an_unknown_order_is_told_from_the_documents_that_name_it() -> None:
    request = [
        {"role": "system", "content": "Order 67890 was handed to FedEx this morning."},
        {"role": "user", "content": "Where is order 67890?"},
    ]
    [reply] = await play(agent, [request])
    assert "Order 67890 was handed to FedEx this morning." in reply.text
    assert reply.evaluation["order_found"] is False
