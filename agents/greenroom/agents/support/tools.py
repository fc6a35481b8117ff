"""What the agent can look up and do, on the session's world. Every rule of the shop is kept here, whoever calls."""

from collections.abc import MutableMapping
from datetime import date
from typing import Any

from greenroom.agents.support.customer import customer_of
from greenroom.agents.support.policies import Passage, search
from greenroom.agents.support.states import label_of, obstacle
from greenroom.sdk import ToolError, Turn, User, World, tool

RETURN_WINDOW = 30
"""Days after delivery in which a refund can be requested."""

_TOLD_WITH_STATUS = (
    "carrier", "estimated_delivery", "delivered_at", "delivery_note", "reason", "pay_by", "pickup_point", "pick_up_by",
    "return_by", "returned_at", "refund_amount", "refund_days", "refunded_at", "cancelled_at",
)  # fmt: skip


@tool
async def order_lookup(world: World, user: User, turn: Turn, order_id: str) -> dict[str, Any]:
    """Find an order of the customer, with its items, its address and why an effect can no longer be had.

    Args:
        order_id: The order's number, for example 12345.
    """
    order = _own_order(world, user, order_id)
    status = _status_of(order_id, order)
    refused = {effect: obstacle(order, effect) for effect in ("cancel", "address", "refund")}
    refused["refund"] = refused["refund"] or refund_barrier(order, "", turn.clock.now().date())
    facts = {key: order.get(key) for key in ("items", "total", "currency", "address", "placed_at")}
    return {**status, **facts, "refused": {effect: why for effect, why in refused.items() if why}}


@tool
async def get_order_status(world: World, user: User, order_id: str) -> dict[str, Any]:
    """Tell where an order of the customer stands.

    Args:
        order_id: The order's number, for example 12345.
    """
    return _status_of(order_id, _own_order(world, user, order_id))


@tool
async def list_orders(world: World, user: User) -> dict[str, Any]:
    """List the customer's orders, newest first."""
    own = [(key, order) for key, order in world["orders"].items() if _belongs(order, user)]
    own.sort(key=lambda pair: (str(pair[1].get("placed_at")), pair[0]), reverse=True)
    orders = [
        {"order_id": key, "status": order["status"], "items": [item["name"] for item in order.get("items", ())]}
        for key, order in own
    ]
    return {"orders": orders}


@tool
async def cancel_order(world: World, user: User, turn: Turn, order_id: str) -> dict[str, Any]:
    """Cancel an order of the customer that has not been packed yet. Ask for confirmation first.

    Args:
        order_id: The order's number.
    """
    order = _own_order(world, user, order_id)
    _refuse(order, order_id, "cancel")
    paid = order["status"] not in ("pending_payment", "payment_failed")
    order.update(status="cancelled", estimated_ship_time=None, cancelled_at=turn.clock.today())
    amount = _amount(order) if paid else None
    return {"order_id": order_id, "status": "cancelled", "refund_amount": amount}


@tool
async def change_delivery_address(world: World, user: User, order_id: str, address: str) -> dict[str, Any]:
    """Change where an order of the customer goes, as long as the carrier does not have it. Ask for confirmation first.

    Args:
        order_id: The order's number.
        address: The complete new address.
    """
    order = _own_order(world, user, order_id)
    _refuse(order, order_id, "address")
    before, order["address"] = order.get("address"), address
    return {"order_id": order_id, "address": address, "previous_address": before}


@tool
async def request_refund(world: World, user: User, turn: Turn, order_id: str, reason: str = "") -> dict[str, Any]:
    """Request a refund for an order of the customer, within 30 days of delivery. Ask for confirmation first.

    Args:
        order_id: The order's number.
        reason: Why, in a few words; damage sets the limits for final sale aside.
    """
    order = _own_order(world, user, order_id)
    _refuse(order, order_id, "refund")
    if barrier := refund_barrier(order, reason, turn.clock.now().date()):
        raise ToolError(barrier, code="not_possible")
    days = 2 if customer_of(turn).has_priority else 5
    order.update(status="refund_requested", refund_amount=_amount(order), refund_days=days)
    refund_id = f"R{order_id}"
    _collection(world, "refunds")[refund_id] = {
        "order_id": order_id,
        "amount": order["refund_amount"],
        "reason": reason,
    }
    return {
        "order_id": order_id,
        "refund_id": refund_id,
        "status": "refund_requested",
        "amount": order["refund_amount"],
        "business_days": days,
    }


@tool
async def search_policies(turn: Turn, query: str) -> dict[str, Any]:
    """Search the shop's policies and the documents of this conversation.

    Args:
        query: What to look for, in a few words.
    """
    passages: list[Passage] = search(query, turn.context)
    return {"query": query, "passages": passages}


@tool
async def escalate_to_human(world: World, user: User, turn: Turn, summary: str, order_id: str = "") -> dict[str, Any]:
    """Hand the conversation over to a human colleague.

    Args:
        summary: What the customer wants, for the colleague.
        order_id: The order it is about, if any.
    """
    handovers = _collection(world, "handovers")
    priority = "high" if customer_of(turn).has_priority else "normal"
    handover_id = f"H{len(handovers) + 1}"
    handovers[handover_id] = {"user_id": user.id, "order_id": order_id, "summary": summary, "priority": priority}
    return {"handover_id": handover_id, "status": "queued", "priority": priority}


def refund_barrier(order: dict[str, Any], reason: str, today: date) -> str:
    """Why a delivered order is not refunded, with what is possible instead; "" when it is."""
    damaged = any(word in reason for word in ("damaged", "wrong", "missing", "broken", "defective", "not arrived"))
    if order.get("final_sale") and not damaged:
        return "it was a final sale, which can only be refunded if it arrived damaged"
    delivered = order.get("delivered_at")
    if order["status"] == "delivered" and isinstance(delivered, str):
        days = (today - date.fromisoformat(delivered[:10])).days
        if days > RETURN_WINDOW:
            late = f"it was delivered {days} days ago, and refunds are possible for {RETURN_WINDOW} days"
            return f"{late}; a colleague can look at exceptions"
    return ""


def _own_order(world: World, user: User, order_id: str) -> dict[str, Any]:
    """The order, if it is the customer's. Somebody else's is as unknown as one that does not exist."""
    order: dict[str, Any] | None = world["orders"].get(order_id)
    if order is None or not _belongs(order, user):
        raise ToolError(f"There is no order {order_id} for this customer.", code="not_found")
    return order


def _belongs(order: dict[str, Any], user: User) -> bool:
    owner = order.get("customer", "anyone")
    return owner == "anyone" or (bool(user.id) and owner == user.id)


def _collection(world: World, name: str) -> MutableMapping[str, Any]:
    """A collection that a scenario's world may lack."""
    if name not in world:
        world[name] = {}
    collection: MutableMapping[str, Any] = world[name]
    return collection


def _status_of(order_id: str, order: dict[str, Any]) -> dict[str, Any]:
    told = {key: order[key] for key in _TOLD_WITH_STATUS if order.get(key) is not None}
    always = {key: order.get(key) for key in ("status", "estimated_ship_time", "tracking_number")}
    return {"order_id": order_id, **always, **told}


def _refuse(order: dict[str, Any], order_id: str, effect: str) -> None:
    if reason := obstacle(order, effect):
        raise ToolError(f"Order {order_id} is {label_of(order['status'])}: {reason}.", code="not_possible")


def _amount(order: dict[str, Any]) -> str:
    return f"{order.get('total', 0)} {order.get('currency', '')}".strip()
