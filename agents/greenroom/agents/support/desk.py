"""One turn at the support desk: what was heard and remembered, the tools within reach, and the reply as it grows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.agents.support.customer import Customer, customer_of
from greenroom.agents.support.intents import EFFECTS
from greenroom.agents.support.memory import Asked, Memory, Task
from greenroom.agents.support.tone import tone_of
from greenroom.agents.support.understanding import Heard
from greenroom.sdk import Tool, ToolFailed, Turn

EXPECTED_FAILURES = frozenset({"not_found", "not_possible"})
"""Failures that are answers: the tool worked, and says no."""


@dataclass(slots=True)
class Outcome:
    """What came of a tool call. `told` is set once the reply states it."""

    tool: str
    data: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""
    message: str = ""
    told: bool = False

    @property
    def ok(self) -> bool:
        return not self.failure

    @property
    def broke(self) -> bool:
        """The tool gave no answer at all."""
        return bool(self.failure) and self.failure not in EXPECTED_FAILURES


class Desk:
    """The turn, while it is being answered."""

    def __init__(self, turn: Turn, memory: Memory, heard: Heard) -> None:
        self.turn = turn
        self.memory = memory
        self.heard = heard
        self.customer: Customer = customer_of(turn)
        self.tone = tone_of(self.customer, heard)
        self.parts: list[str] = []
        self.outcomes: list[Outcome] = []
        self.asked: Asked | None = None
        self.question = ""
        self.acknowledged = False
        self.order_before = memory.order
        """The order that was talked about before this turn."""
        self.doubts: list[float] = []
        """What to take off the confidence, see `evaluation`."""

    @property
    def name(self) -> str:
        """The customer's, as told by profile or metadata, else by themselves."""
        return self.customer.name or self.memory.name

    @property
    def text(self) -> str:
        return " ".join([*self.parts, self.question] if self.question else self.parts).replace("\n ", "\n")

    def say(self, text: str, outcome: Outcome | None = None) -> None:
        """Adds to the reply. `outcome` is the tool call whose result these words give."""
        if text and text not in self.parts:
            self.parts.append(text)
        if outcome is not None:
            outcome.told = True

    def ask(self, wants: str, task: Task, text: str) -> None:
        """Ends the reply with a question; of several only the first is asked, other effects wait."""
        if self.asked is None:
            self.asked, self.question = Asked(wants, task), text
        elif task.intent in EFFECTS and task != self.asked.task:
            self.memory.queue.append(task)

    async def call(self, tool: Tool[..., Any], **arguments: Any) -> Outcome:
        """Calls a tool. What it returns may have been scripted, so anything that is not an object counts as a failure."""
        outcome = Outcome(tool.name)
        self.outcomes.append(outcome)
        try:
            data = await self.turn.call(tool, **arguments)
        except ToolFailed as failed:
            outcome.failure, outcome.message = failed.type, failed.message
        else:
            if isinstance(data, Mapping):
                outcome.data = data
            else:
                outcome.failure = "unreadable"
        return outcome
