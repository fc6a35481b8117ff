"""A core for a test to kill: `python killed_core.py DATABASE`. It prints its port, then what its turns are about to do."""

import asyncio
import os
import sys
import threading

from core_running import make_core

from greenroom.core.rpc.server import CoreServer, Listeners
from greenroom.sdk import Agent, Turn, World, tool
from greenroom.storage import open_store


@tool
async def add(world: World) -> int:
    """Adds one, in two places."""
    world["counters"]["a"] += 1
    world["counters"]["b"] += 1
    return int(world["counters"]["a"])


def say(text: str) -> None:
    print(text, flush=True)


def counting() -> Agent:
    """Counts; a turn whose text is "hang" stops after its tool call."""
    agent = Agent("counting", tools=[add], world={"counters": {"a": 0, "b": 0}})

    @agent.reply
    async def reply(turn: Turn) -> str:
        n = await turn.call(add)
        turn.state["n"] = n
        if turn.text == "hang":
            say("hanging")
            await asyncio.Event().wait()
        return str(n)

    return agent


async def serve(url: str) -> None:
    server = CoreServer(make_core(counting(), open_store(url)), Listeners(port=0))
    await server.start()
    say(f"port {server.port}")
    await server.wait()


if __name__ == "__main__":
    # ends with the test, whatever becomes of that
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    asyncio.run(serve(sys.argv[1]))
