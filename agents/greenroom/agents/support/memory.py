"""What the agent keeps in mind from turn to turn. It lives in `turn.state`; what it missed it reads from the transcript."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from greenroom.agents.support.intents import Intent
from greenroom.sdk import Message


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do for the customer. An effect is done only once it is `confirmed`."""

    intent: Intent
    order_id: str = ""
    address: str = ""
    reason: str = ""
    clear: bool = True
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """An open question of ours. `wants` is what it asks for: "order", "address", "yes", or whether to try "again"."""

    wants: str
    task: Task


@dataclass(slots=True)
class Memory:
    """`order` is the one being talked about. `matter` is what the turns are about and `step` how many it has taken;
    `lost` counts messages in a row that were not understood, `soothed` acknowledgements in a row. `queue` are effects that
    wait for the answer about another, `dropped` is what was just said no to, `shown` the orders last listed. `missed` is the
    number that was last not found, `sent` are effects that were done and never confirmed."""

    turn: int = 0
    exchanges: int = 0
    name: str = ""
    order: str = ""
    asked: Asked | None = None
    matter: str = ""
    step: int = 0
    settled: bool = True
    last: Intent | None = None
    lost: int = 0
    soothed: int = 0
    queue: list[Task] = field(default_factory=list)
    dropped: Task | None = None
    shown: dict[str, str] = field(default_factory=dict)
    missed: str = ""
    sent: list[Task] = field(default_factory=list)

    def has_sent(self, task: Task) -> bool:
        """Whether this was done before, and never confirmed."""
        wanted = (task.intent, task.order_id, task.address)
        return any((sent.intent, sent.order_id, sent.address) == wanted for sent in self.sent)

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Memory":
        """From `turn.state`; a fresh one when that is empty."""
        if not state:
            return cls()
        asked = state["asked"]
        return cls(
            **{
                **state,
                "asked": Asked(asked["wants"], _task(asked["task"])) if asked else None,
                "last": Intent(state["last"]) if state["last"] else None,
                "dropped": _task(state["dropped"]) if state["dropped"] else None,
                "queue": [_task(task) for task in state["queue"]],
                "sent": [_task(task) for task in state.get("sent", ())],
            }
        )

    def save(self) -> dict[str, Any]:
        """For `turn.state`."""
        asked = {"wants": self.asked.wants, "task": _data(self.asked.task)} if self.asked else None
        own = {name: getattr(self, name) for name in self.__slots__}
        dropped = _data(self.dropped) if self.dropped else None
        queue, sent = ([_data(task) for task in tasks] for tasks in (self.queue, self.sent))
        return {**own, "asked": asked, "dropped": dropped, "queue": queue, "sent": sent}


def _data(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in task.__slots__}


def _task(data: Mapping[str, Any]) -> Task:
    return Task(**{**data, "intent": Intent(data["intent"])})


def exchanges_of(messages: Iterator[Message]) -> Iterator[tuple[str, str]]:
    """The finished exchanges of a conversation: what the user said, what was replied. A greeting of ours has "" before."""
    users: list[str] = []
    reply: str | None = None
    for message in messages:
        if message.role == "user":
            if reply is not None:
                yield "\n".join(users), reply
                users, reply = [], None
            users.append(message.content or "")
        elif message.role == "assistant" and message.content:
            reply = message.content if reply is None else f"{reply}\n{message.content}"
    if reply is not None:
        yield "\n".join(users), reply
