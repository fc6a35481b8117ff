"""A crew of CrewAI that tells all it knows. What it keeps is in the conversation and in the turn's world."""

import json
from collections.abc import Sequence
from typing import Any

from crewai import Agent, Crew, Task
from crewai.tools import tool
from crewai_model import FakeModel, call

from greenroom.agents.adapters import current_turn
from greenroom.agents.adapters.crewai import CrewAIAgent


@tool
def save_note(note: str) -> dict[str, str]:
    """Puts a note on the customer's record."""
    notes = current_turn().world["notes"]
    notes[str(len(notes) + 1)] = {"text": note}
    return {"saved": note}


@tool
def read_notes() -> dict[str, Any]:
    """Reads the customer's notes."""
    return {key: note["text"] for key, note in current_turn().world["notes"].items()}


def teller(messages: Sequence[Any]) -> list[Any]:
    """Notes what it is told, reads its notes, and says everything."""
    turn = current_turn()
    if messages[-1]["role"] == "user" and not any(one["role"] == "tool" for one in messages):
        return [call("save_note", note=turn.text)]
    if sum(one["role"] == "tool" for one in messages) == 1:
        return [call("read_notes", "c2")]
    known = {"user": {"id": turn.user.id, **turn.user.profile}, "metadata": dict(turn.metadata)}
    lines = [line for one in messages if one["role"] != "assistant" for line in str(one["content"]).splitlines()]
    return [json.dumps([known, [line for line in lines if not line.startswith("Assistant: ")]])]


_TELLER = Agent(
    role="teller", goal="Tell.", backstory="Honest.", llm=FakeModel(teller), tools=[save_note, read_notes], cache=False
)

agent = CrewAIAgent(
    Crew(
        name="teller",
        agents=[_TELLER],
        tasks=[Task(description="{message}", expected_output="All that is known.", agent=_TELLER)],
    ),
    world={"notes": {}},
)
