from greenroom.sdk import Agent, Reply, ToolFailed, Turn, World, tool


@tool
async def get_order_status(world: World, order_id: str) -> dict:
    """Look up where an order stands."""
    return world["orders"][order_id]


agent = Agent("my_agent", tools=[get_order_status], world={"orders": {"7": {"status": "on its way"}}})


@agent.reply
async def reply(turn: Turn) -> Reply:
    try:
        order = await turn.call(get_order_status, order_id=turn.text.strip("# ?"))
    except ToolFailed:
        return Reply("Which order is it about?", evaluation={"order_found": False})
    return Reply(f"Your order is {order['status']}.", confidence=0.9, evaluation={"order_found": True})
