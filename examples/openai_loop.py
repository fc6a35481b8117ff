import openai

from greenroom.sdk import Agent, AgentUnavailable, Reply, Turn, World, tool

client = openai.AsyncOpenAI()  # OPENAI_API_KEY, and OPENAI_BASE_URL for an endpoint that is not OpenAI's


@tool
async def get_order(world: World, order_id: str) -> dict:
    """Look up where an order stands."""
    return world["orders"][order_id]


shop = {"orders": {"7": {"status": "on its way"}}}
agent = Agent("openai_loop", tools=[get_order], world=shop, instructions="You work for a shop. Be brief.")


@agent.reply
async def reply(turn: Turn) -> Reply:
    messages, tools = turn.messages.openai(), turn.tools.openai()
    for _ in range(8):
        try:
            asked = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=tools)
            message = (await asked).choices[0].message
        except openai.APIError as error:
            raise AgentUnavailable(type(error).__name__) from None
        if not message.tool_calls:
            return Reply(message.content or "")
        messages += [message.model_dump(exclude_none=True), *await turn.tools.run(message.tool_calls)]
    return Reply("I could not find that out.")
