"""An agent of agno that tells all it knows. What it keeps is in its session and in the turn's world."""

import json
from typing import Any

import notes
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.run import RunContext
from agno_model import FakeModel, call

from greenroom.agents.adapters.agno import AgnoAgent


async def save_note(run_context: RunContext, note: str) -> dict[str, str]:
    """Puts a note on the customer's record."""
    assert run_context.session_state is not None
    run_context.session_state.setdefault("notes", []).append(note)
    return await notes.save_note(note)


async def read_notes(run_context: RunContext) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {"notes": await notes.read_notes(), "state": run_context.session_state, "for": run_context.user_id}


def teller(messages: list[Message]) -> list[Any]:
    """Notes what it is told, reads its notes, and says everything."""
    if messages[-1].role != "tool":
        return [call("save_note", note=messages[-1].content), call("read_notes", "c2")]
    return [json.dumps([notes.known(), [message.content for message in messages if message.role != "assistant"]])]


agent = AgnoAgent(
    Agent(
        name="teller",
        model=FakeModel(teller),
        tools=[save_note, read_notes],
        db=InMemoryDb(),
        add_history_to_context=True,
    ),
    world={"notes": {}},
)
