"""A router of two agents, each with a tool of its own. Serve it with `greenroom serve router_agent:agent`."""

from greenroom.agents.router import Router, Rule
from greenroom.sdk import Agent, Turn, World, tool


@tool
def find_order(world: World, order_id: str) -> dict:
    """Look up an order."""
    return world["orders"][order_id]


@tool
def refund(world: World, order_id: str) -> dict:
    """Pay an order back."""
    order = world["orders"][order_id]
    order["refunded"] = True
    return order


orders = Agent("orders", tools=[find_order], world={"orders": {"12345": {"status": "shipped", "refunded": False}}})
billing = Agent("billing", tools=[refund])


@orders.reply
async def about_orders(turn: Turn) -> str:
    """Says where an order is."""
    if "never arrived" in turn.text:
        turn.hand_off("billing", "the order is lost")
        return "I am sorry to hear that."
    order = await turn.call(find_order, order_id="12345")
    return f"It is {order['status']}."


@billing.reply
async def about_money(turn: Turn) -> str:
    """Pays back."""
    await turn.call(refund, order_id="12345")
    return "You will have your money back."


agent = Router(
    "desk",
    {"orders": orders, "billing": billing},
    rules=[Rule("billing", keywords=["refund", "money back"]), Rule("orders", pattern=r"#\d{5}")],
    examples={"orders": ["Where is my parcel?"], "billing": ["I was charged twice"]},
)
