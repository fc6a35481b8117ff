"""What the kill proof serves: each turn adds one to a counter in the world, and says the number."""

import asyncio
import random
from collections.abc import AsyncIterator

from greenroom.sdk import Agent, Turn, World, tool


@tool
async def add(world: World) -> int:
    """Adds one. It lingers between reading and writing, so that a kill can come in between."""
    n: int = world["counters"]["n"]
    await asyncio.sleep(random.uniform(0, 0.02))
    world["counters"]["n"] = n + 1
    return n + 1


agent = Agent("counting", tools=[add], world={"counters": {"n": 0}})


@agent.reply
async def reply(turn: Turn) -> AsyncIterator[str]:
    """Now and then it takes so long that its impatient client has been answered elsewhere before it ends. Who reads along
    knows the number before it counts."""
    n = await turn.call(add)
    turn.state["n"] = n
    yield str(n)
    await asyncio.sleep(random.uniform(0.3, 0.8) if random.random() < 0.03 else random.uniform(0, 0.02))
