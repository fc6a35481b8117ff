"""A crew of CrewAI that tells all it knows. What it keeps is in the conversation and in the turn's world."""

import json
from collections.abc import Sequence
from typing import Any

from crewai import Agent, Crew, Task
from crewai.tools import tool
from crewai_model import FakeModel, call
from notes import known, read_notes, save_note

from greenroom.agents.adapters import current_turn
from greenroom.agents.adapters.crewai import CrewAIAgent


def teller(messages: Sequence[Any]) -> list[Any]:
    """Notes what it is told, reads its notes, and says everything."""
    if messages[-1]["role"] == "user" and not any(one["role"] == "tool" for one in messages):
        return [call("save_note", note=current_turn().text)]
    if sum(one["role"] == "tool" for one in messages) == 1:
        return [call("read_notes", "c2")]
    lines = [line for one in messages if one["role"] != "assistant" for line in str(one["content"]).splitlines()]
    return [json.dumps([known(), [line for line in lines if not line.startswith("Assistant: ")]])]


_TELLER = Agent(
    role="teller",
    goal="Tell.",
    backstory="Honest.",
    llm=FakeModel(teller),
    tools=[tool(save_note), tool(read_notes)],
    cache=False,
)

agent = CrewAIAgent(
    Crew(
        name="teller",
        agents=[_TELLER],
        tasks=[Task(description="{message}", expected_output="All that is known.", agent=_TELLER)],
    ),
    world={"notes": {}},
)
