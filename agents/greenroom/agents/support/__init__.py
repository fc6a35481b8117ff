"""The agent that comes with Greenroom: a shop's customer service, without a model. Its map is in docs/support-agent.md.

It is written on `greenroom.sdk` alone, as an agent of your own would be.
"""

from greenroom.agents.support.dialogue import answer
from greenroom.agents.support.policies import shop_index
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
from greenroom.sdk import Agent, Reply, Turn

agent = Agent(
    "support",
    tools=[
        order_lookup,
        get_order_status,
        list_orders,
        cancel_order,
        change_delivery_address,
        request_refund,
        search_policies,
        escalate_to_human,
    ],
    world="data/world.json",
    scenarios="scenarios",
)


@agent.reply
async def reply(turn: Turn) -> Reply:
    """Customer service of a shop: orders, refunds, policies."""
    return await answer(turn)


@agent.on_startup
def read_policies() -> None:
    """So that no customer waits for it."""
    shop_index()
