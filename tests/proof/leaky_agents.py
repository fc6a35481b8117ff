"""Agents to be caught. All but `careful` and `discreet` mix their customers up.

What they keep outside `turn.state` and the world is the mistake that each of them is here to make.
"""

import functools
import logging
from typing import Any, ClassVar

from greenroom.sdk import Agent, Reply, Turn, World, tool

_log = logging.getLogger(__name__)


@tool
async def save_note(world: World, note: str) -> dict[str, Any]:
    """Puts a note on the customer's record."""
    notes = world["notes"]
    notes[str(len(notes) + 1)] = {"text": note}
    return {"saved": note}


@tool
async def read_notes(world: World) -> dict[str, Any]:
    """Reads the customer's notes."""
    return {key: note["text"] for key, note in world["notes"].items()}


def asks(turn: Turn) -> bool:
    return turn.text.endswith("?") or turn.text == "Yes"


def known_of(turn: Turn) -> dict[str, Any]:
    """All that this turn may tell."""
    return {
        "user": {"id": turn.user.id, **turn.user.profile},
        "metadata": dict(turn.metadata),
        "said": [message.content for message in turn.messages if message.role == "user"],
        "context": list(turn.context),
    }


careful = Agent("careful", tools=[save_note, read_notes], world={"notes": {}})


@careful.reply
async def keep_apart(turn: Turn) -> Reply:
    """Keeps what it must in `turn.state` and the world, and tells everything."""
    if not asks(turn):
        await turn.call(save_note, note=turn.text)
    turn.state.setdefault("heard", []).append(turn.text)
    notes = await turn.call(read_notes)
    return Reply(f"{known_of(turn)} {turn.state} {notes}", evaluation={"known": known_of(turn)})


discreet = Agent("discreet")


@discreet.reply
async def keep_and_tell_later(turn: Turn) -> Reply:
    """Answers everybody alike until it is asked, and keeps in `turn.state` what it was told beside the messages."""
    told = turn.state.setdefault("told", [])
    told.append({"metadata": dict(turn.metadata), "context": list(turn.context)})
    return Reply(f"{told}" if asks(turn) else "Good day.")


# A module's global.

latest: dict[str, Any] = {"said": "nothing yet", "note": None}
module_global = Agent("module_global")


@module_global.reply
async def remember_globally(turn: Turn) -> Reply:
    """Keeps the latest customer's words in its module."""
    if asks(turn):
        return Reply(f"The last thing I heard was {latest['said']}")
    latest["said"] = turn.text
    return Reply("I shall remember.", evaluation={"note": turn.metadata.get("note")})


# An attribute of a class, shared by its objects.


class Memory:
    """Looks like one memory for each session, and is one for all."""

    notes: ClassVar[list[str]] = []

    def add(self, note: str) -> None:
        self.notes.append(note)
        del self.notes[:-5]


class_attribute = Agent("class_attribute")


@class_attribute.reply
async def remember_in_class(turn: Turn) -> Reply:
    """Makes a memory of its own on every turn, and takes what is in it into the state."""
    memory = Memory()
    if not asks(turn):
        memory.add(str(turn.metadata.get("note")))
    turn.state["notes"] = list(memory.notes)
    return Reply("Noted.")


# A cached object, whose key is too coarse.


class Customer:
    """What is known of a customer, put together once."""

    def __init__(self) -> None:
        self.profile: dict[str, Any] = {}


@functools.lru_cache
def customer_of(tier: str) -> Customer:
    return Customer()


cached_object = Agent("cached_object")


@cached_object.reply
async def remember_by_tier(turn: Turn) -> Reply:
    """Looks its customer up by what many customers share."""
    customer = customer_of(str(turn.user.profile.get("tier", "standard")))
    customer.profile = customer.profile or dict(turn.user.profile)
    return Reply("Hello!", evaluation={"customer": customer.profile})


# A tool that does not keep to the session's world.

drawer: list[str] = []


@tool
async def file_note(world: World, note: str) -> dict[str, Any]:
    """Files a note in a drawer of the module's, and copies the first ones in it into the world."""
    drawer.append(note)
    world["notes"]["drawer"] = drawer[:40]
    return {"filed": True}


shared_drawer = Agent("shared_drawer", tools=[file_note], world={"notes": {}})


@shared_drawer.reply
async def file_away(turn: Turn) -> Reply:
    """Says nothing that it should not; its tool's world does."""
    if not asks(turn):
        await turn.call(file_note, note=turn.text)
    return Reply("It is filed.")


# A log line that speaks of two customers.

gossip = Agent("gossip")


@gossip.reply
async def log_both(turn: Turn) -> Reply:
    """Compares its customers in the log."""
    before = latest.get("user")
    latest["user"] = turn.user.id
    _log.warning("%s came after %s", turn.user.id, before)
    return Reply("Good day.")
