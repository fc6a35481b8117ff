"""An agent that streams what its user says word by word; "count" calls a tool that changes the world, "fail" fails."""

from collections.abc import AsyncIterator

from greenroom.sdk import Agent, Turn, World, tool


@tool
def count(world: World, by: int = 1) -> dict[str, int]:
    """Counts up."""
    world["counters"]["n"] += by
    return {"n": world["counters"]["n"]}


agent = Agent("talker", tools=[count], world={"counters": {"n": 0}})


@agent.reply
async def reply(turn: Turn) -> AsyncIterator[str]:
    for word in turn.text.split():
        match word:
            case "count":
                yield f"{(await turn.call(count, by=1))['n']} "
            case "fail":
                raise ValueError("as it was told to")
            case _:
                yield f"{word} "
