"""The agent of the streamed run: pieces at the pace of a model, each with the moment it was said."""

import asyncio
import time
from collections.abc import AsyncIterator

from greenroom.sdk import Agent, Turn

PIECES = 40
PAUSE = 0.02
"""Seconds between two pieces."""

agent = Agent("streaming")


@agent.reply
async def reply(turn: Turn) -> AsyncIterator[str]:
    """Forty pieces; a user who says "wait N" has them after so many seconds."""
    match turn.text.split():
        case ["wait", seconds]:
            yield "One moment… "
            await asyncio.sleep(float(seconds))
        case _:
            for _ in range(PIECES):
                await asyncio.sleep(PAUSE)
                yield f"{time.monotonic_ns()} "
