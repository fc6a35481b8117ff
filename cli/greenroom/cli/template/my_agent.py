"""An agent that says where orders stand and cancels them. Put in their place what yours does."""

import re

from greenroom.sdk import Agent, Reply, ToolError, ToolFailed, Turn, World, tool


@tool
def get_order(world: World, order_id: str) -> dict:
    """Look up an order.

    Args:
        order_id: The order's number, for instance 1001.
    """
    if order_id not in world["orders"]:
        raise ToolError(f"There is no order {order_id}.", code="not_found")
    return world["orders"][order_id]


@tool
def cancel_order(world: World, order_id: str) -> dict:
    """Cancel an order that has not been shipped.

    Args:
        order_id: The order's number, for instance 1001.
    """
    order = get_order(world, order_id)
    if order["status"] != "preparing":
        raise ToolError(f"Order {order_id} is {order['status']} and cannot be cancelled.", code="too_late")
    order["status"] = "cancelled"
    return order


agent = Agent("my-agent", tools=[get_order, cancel_order], world="world.yaml", scenarios="scenarios")


@agent.reply
async def reply(turn: Turn) -> Reply:
    """Says where an order stands, and cancels it when asked to."""
    number = re.search(r"\d+", turn.text)
    if number is None:
        return Reply("Which order is it about?", evaluation={"order_found": False})
    wanted = cancel_order if "cancel" in turn.text.lower() else get_order
    try:
        order = await turn.call(wanted, order_id=number[0])
    except ToolFailed as failed:
        return Reply(failed.message, evaluation={"order_found": failed.type != "not_found"})
    return Reply(f"Order {number[0]} is {order['status']}.", confidence=0.9, evaluation={"order_found": True})
