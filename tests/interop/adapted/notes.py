"""What the tools of agents that tell all they know do: notes on the customer's record, in the turn's world."""

from typing import Any

from greenroom.agents.adapters import current_turn


async def save_note(note: str) -> dict[str, str]:
    """Puts a note on the customer's record."""
    notes = current_turn().world["notes"]
    notes[str(len(notes) + 1)] = {"text": note}
    return {"saved": note}


async def read_notes() -> dict[str, Any]:
    """Reads the customer's notes."""
    return {key: note["text"] for key, note in current_turn().world["notes"].items()}


def known() -> dict[str, Any]:
    """What a turn knows of its user and its session."""
    turn = current_turn()
    return {"user": {"id": turn.user.id, **turn.user.profile}, "metadata": dict(turn.metadata)}
