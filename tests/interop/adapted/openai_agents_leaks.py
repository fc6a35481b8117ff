"""An agent of the OpenAI Agents SDK that tells all it knows. What it keeps is in its history and in the turn's world."""

import json
from typing import Any

import notes
from agents import Agent, RunContextWrapper, function_tool
from openai_agents_model import FakeModel, Item, call, last_user, text

from greenroom.agents.adapters.openai_agents import OpenAIAgentsAgent


@function_tool
async def read_notes(context: RunContextWrapper[Any]) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {"notes": await notes.read_notes(), "for": context.context}


def teller(system: str, items: list[Item]) -> list[Any]:
    """Notes what it is told, reads its notes, and says everything."""
    if items[-1].get("type") != "function_call_output":
        note = call("save_note", json.dumps({"note": last_user(items)}), "c1")
        return [note, call("read_notes", "{}", "c2")]
    said = [item["content"] for item in items if item.get("role") in ("user", "system")]
    return [text(json.dumps([notes.known(), said, [item["output"] for item in items if "output" in item], system]))]


agent = OpenAIAgentsAgent(
    Agent("teller", model=FakeModel(teller), tools=[function_tool(notes.save_note), read_notes]),
    context=lambda turn: turn.user.id,
    world={"notes": {}},
)
