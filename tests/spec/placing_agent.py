"""An agent whose world and state keep the path of its turns, so that each reply has one right value; and that value."""

import json
from dataclasses import dataclass
from typing import Any

from placing_doors import Call

from greenroom.sdk import Agent, Reply, ToolFailed, Turn, World, tool

GREETING = "How can I help?"
OPENING = ""
"""What is said when the agent opens."""

Wire = tuple[str, str | None, tuple[tuple[str, str, str], ...]]
"""A message as an agent sees it: role, text, and (id, name, arguments) of the calls it makes or answers."""


@dataclass
class Page:
    """World and state after a turn."""

    world: dict[str, Any]
    state: dict[str, Any]


def title_page() -> Page:
    return Page({"diary": {"said": [], "n": 0}}, {})


@tool
async def note(turn: Turn, world: World, text: str) -> dict[str, Any]:
    """Writes down who said what, and counts."""
    diary = world["diary"]
    diary["said"].append(f"{turn.user.id}: {text}")
    diary["n"] += 1
    return {"n": diary["n"], "for": turn.user.id}


@tool
async def spill(world: World) -> None:
    """Spoils the diary, then fails."""
    world["diary"]["said"].clear()
    world["diary"]["n"] = -1
    raise RuntimeError("ink")


@dataclass(frozen=True)
class Sight:
    """What the agent was shown in a turn."""

    messages: list[Wire]
    context: tuple[str, ...]
    page: Page


class Diarist:
    """Notes what its user says and answers with the count, the turn's number and the user.

    "hush …" is always answered alike, "talk …" calls no tool, "spill …" has one that fails. A turn whose metadata names a
    failure that is still due fails, once it has written to its world.
    """

    def __init__(self) -> None:
        self.agent = Agent("diarist", tools=[note, spill], world=title_page().world)
        self.agent.reply(self._reply)
        self.failures_due: set[str] = set()
        self.sights: dict[tuple[str, int], Sight] = {}

    def forget(self) -> None:
        """What was seen, and what is due."""
        self.failures_due.clear()
        self.sights.clear()

    async def _reply(self, turn: Turn) -> Reply:
        before = Page({"diary": json.loads(json.dumps(dict(turn.world["diary"])))}, json.loads(json.dumps(turn.state)))
        self.sights[turn.session_id, turn.number] = Sight(
            [wired(message) for message in turn.messages.openai() if message["role"] != "system"],
            tuple(turn.context),
            before,
        )
        text = turn.text
        if not text:
            return Reply(GREETING)
        turn.state.setdefault("heard", []).append(text)
        if text.startswith("talk"):
            return Reply("We only talk.")
        n = (await turn.call(note, text=text))["n"]
        if turn.metadata.get("fails") in self.failures_due:
            self.failures_due.remove(turn.metadata["fails"])
            raise ValueError("as asked")
        if text.startswith("spill"):
            try:
                await turn.call(spill)
            except ToolFailed:
                return Reply(f"{n}, and ink everywhere")
        return Reply("..." if text.startswith("hush") else f"{n} in turn {turn.number} for {turn.user.id or 'nobody'}")


def wired(message: dict[str, Any]) -> Wire:
    role, content = message["role"], message["content"]
    if role == "tool":
        return role, json.dumps(json.loads(content), sort_keys=True), ((message["tool_call_id"], "", ""),)
    calls = message.get("tool_calls", ())
    return (
        role,
        content,
        tuple((call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls),
    )


@dataclass(frozen=True)
class Performance:
    """What a turn must come to."""

    reply: str
    calls: tuple[Call, ...]
    page: Page


def performed(text: str, user_id: str, number: int, page: Page) -> Performance:
    """What the diarist must answer on this page, and the page that it must leave."""
    if text == OPENING:
        return Performance(GREETING, (), page)
    page.state.setdefault("heard", []).append(text)
    if text.startswith("talk"):
        return Performance("We only talk.", (), page)
    diary = page.world["diary"]
    diary["said"].append(f"{user_id}: {text}")
    diary["n"] += 1
    n = diary["n"]
    calls = [Call("", "note", json.dumps({"text": text}), {"n": n, "for": user_id})]
    if text.startswith("spill"):
        calls.append(Call("", "spill", "{}", {"error": {"type": "RuntimeError", "message": "ink"}}))
        return Performance(f"{n}, and ink everywhere", tuple(calls), page)
    reply = "..." if text.startswith("hush") else f"{n} in turn {number} for {user_id or 'nobody'}"
    return Performance(reply, tuple(calls), page)
