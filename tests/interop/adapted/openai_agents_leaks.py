"""An agent of the OpenAI Agents SDK that tells all it knows. What it keeps is in its history and in the turn's world."""

import json
from typing import Any

from agents import Agent, RunContextWrapper, function_tool
from openai_agents_model import FakeModel, Item, call, last_user, text

from greenroom.agents.adapters import current_turn
from greenroom.agents.adapters.openai_agents import OpenAIAgentsAgent


@function_tool
async def save_note(note: str) -> dict[str, str]:
    """Puts a note on the customer's record."""
    notes = current_turn().world["notes"]
    notes[str(len(notes) + 1)] = {"text": note}
    return {"saved": note}


@function_tool
async def read_notes(context: RunContextWrapper[Any]) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {"notes": {key: note["text"] for key, note in current_turn().world["notes"].items()}, "for": context.context}


def teller(system: str, items: list[Item]) -> list[Any]:
    """Notes what it is told, reads its notes, and says everything."""
    if items[-1].get("type") != "function_call_output":
        note = call("save_note", json.dumps({"note": last_user(items)}), "c1")
        return [note, call("read_notes", "{}", "c2")]
    turn = current_turn()
    known = {"user": {"id": turn.user.id, **turn.user.profile}, "metadata": dict(turn.metadata)}
    said = [item["content"] for item in items if item.get("role") in ("user", "system")]
    return [text(json.dumps([known, said, [item["output"] for item in items if "output" in item], system]))]


agent = OpenAIAgentsAgent(
    Agent("teller", model=FakeModel(teller), tools=[save_note, read_notes]),
    context=lambda turn: turn.user.id,
    world={"notes": {}},
)
