"""The agent that `make bench` serves: one async tool call and the published answer, no understanding, no model."""

from typing import Any

from greenroom.sdk import Agent, Reply, Turn, World, tool

_ORDER = {"order_id": "12345", "status": "preparing", "estimated_ship_time": "2 hours", "tracking_number": None}
_TEXT = "I found your order! Order #12345 is currently being prepared and will be shipped within 2 hours."
_EVALUATION = {"response_included_status": True, "customer_informed": True}


@tool
async def get_order_status(world: World, order_id: str) -> dict[str, Any]:
    """Look up where an order stands."""
    order: dict[str, Any] = world["orders"][order_id]
    return order


agent = Agent("bench", tools=[get_order_status], world={"orders": {"12345": _ORDER}})


@agent.reply
async def reply(turn: Turn) -> Reply:
    """Calls its tool and says what the page says."""
    await turn.call(get_order_status, order_id="12345")
    return Reply(_TEXT, confidence=0.95, evaluation=_EVALUATION)
