"""What an adapted agent's turns did, seen from inside: their usage, and when what was said."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from greenroom.sdk import Agent, Reply, Turn, Usage
from greenroom.sdk.testing import PlayedReply, Said, play


@dataclass(slots=True)
class Observed:
    """Of all turns that `agent` runs from now on."""

    agent: Agent
    usages: list[Usage | None] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    """What was said, piece by piece, among what a test puts in between."""

    def __post_init__(self) -> None:
        answer = self.agent.function

        async def answer_observed(turn: Turn) -> Reply:
            say = turn.say

            def say_observed(text: str) -> None:
                self.events.append(text)
                say(text)

            turn.say = say_observed  # type: ignore[method-assign]
            reply: Reply = await answer(turn)
            self.usages.append(reply.usage)
            return reply

        self.agent.reply(answer_observed)


async def side_by_side(agent: Agent, talks: dict[str, Sequence[Said]]) -> dict[str, list[PlayedReply]]:
    """Several sessions of one agent object at once."""
    played = await asyncio.gather(*(play(agent, said, session_id=session) for session, said in talks.items()))
    return dict(zip(talks, played, strict=True))


def calls(reply: PlayedReply) -> list[tuple[str, bool, str]]:
    """A reply's tool calls: name, whether it went well, result."""
    return [(call.name, call.ok, call.result_json) for call in reply.tool_calls]


async def sees_tools_in_the_toolbox(agent: Agent, cancel: str = "cancel", **told: str) -> None:
    """Of an agent whose tools look an order up and cancel it: they are in the evidence, the model reads what they gave, and
    the world is the session's."""
    looked, cancelled = await play(agent, ["look up 7", "cancel 7"], user_id="ann")
    assert looked.text == "One moment.\n\nIt says: 7 is on its way"
    assert calls(looked) == [("look_up", True, '"7 is on its way"')]
    assert json.loads(looked.tool_calls[0].arguments_json) == {"order_id": "7"}
    [(name, ok, result)] = calls(cancelled)
    assert (name, ok, json.loads(result)) == (cancel, True, {"cancelled": "7", **told})
    assert cancelled.world["orders"]["7"]["status"] == "cancelled"


def scripted(tool: str, **rule: Any) -> dict[str, Any]:
    """For `play`: a scenario that has a tool behave so."""
    return {"scenarios": [{"id": "scripted", "tools": {tool: [rule]}}], "metadata": {"scenario_id": "scripted"}}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
