"""How clients send a conversation back: whole or trimmed, word for word or as their framework keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from placing_doors import Message, assistant, user
from placing_model import Turn

Keeping = Literal["as it came", "text alone", "trimmed", "reworded", "in pieces", "opened up"]


@dataclass(frozen=True)
class Manner:
    """How a client keeps what was said.

    "opened up" is OpenAI's own form: the calls, a `tool` message for each result, then the text.
    """

    replies: Keeping = "as it came"
    spaced: bool = False
    """Whether it changes the white space of its own user's texts."""


def carried(path: Sequence[Turn], kept: Mapping[int, Message], manner: Manner) -> list[Message]:
    """The messages of these turns; `kept` has the reply messages as they came, by the turn's number."""
    messages: list[Message] = []
    for turn in path:
        messages += [user(spaced(text) if manner.spaced else text) for text in turn.users]
        messages += reply_of(turn, kept, manner.replies)
    return messages


def spaced(text: str) -> str:
    """Other white space, and never more of it, however often it is carried."""
    return f"  {'   '.join(text.split())}\n"


def reply_of(turn: Turn, kept: Mapping[int, Message], keeping: Keeping) -> list[Message]:
    """A reply as a client keeps it."""
    match keeping:
        case "as it came":
            return [kept.get(turn.number, assistant(turn.reply))]
        case "text alone":
            return [assistant(turn.reply)]
        case "trimmed":
            return [assistant(turn.reply[: len(turn.reply) // 2 + 1])]
        case "reworded":
            return [assistant(f"It said: {turn.reply}")]
        case "in pieces":
            return [assistant(piece) for piece in turn.reply.split(" ", 1)]
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in turn.calls
    ]
    answers = [{"role": "tool", "tool_call_id": call.id, "content": "{}"} for call in turn.calls]
    asked = [{"role": "assistant", "content": None, "tool_calls": calls}] if calls else []
    return [*asked, *answers, assistant(turn.reply)]


def system(*texts: str) -> list[Message]:
    """The first as a system message, the others as developer messages."""
    return [{"role": "developer" if i else "system", "content": text} for i, text in enumerate(texts)]
