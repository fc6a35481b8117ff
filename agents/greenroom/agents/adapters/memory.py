"""What a framework remembers of a conversation between its turns."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from greenroom.sdk import Message, Turn


class Memory:
    """A framework's own memory, as JSON under one key of `turn.state`, with a digest of the conversation that it is of. So
    it goes back with the session, and one that is of another conversation than the request carries is not taken for it."""

    def __init__(self, turn: Turn, key: str) -> None:
        self._turn = turn
        self._key = key
        messages = list(turn.messages)
        last = max((index for index, message in enumerate(messages, 1) if message.role != "user"), default=0)
        self.before: Sequence[Message] = messages[:last]
        """The conversation before what the user just said."""
        self.said: Sequence[Message] = messages[last:]
        """What the user just said; () when the agent opens."""
        self._words = _words(self.before)

    def recall(self) -> Any:
        """What was kept after the turn before; None where nothing was, or where it is of another conversation: then all of
        `turn.messages` is news."""
        kept = self._turn.state.get(self._key)
        if not isinstance(kept, dict) or kept.get("of") != _digest(self._words):
            return None
        return kept.get("memory")

    def keep(self, memory: Any) -> None:
        """Keeps JSON for the next turn. Called when all of the reply has been said."""
        words = [*self._words, *_words(self.said), ("assistant", "".join(self._turn.said))]
        self._turn.state[self._key] = {"of": _digest(words), "memory": memory}


def _words(messages: Iterable[Message]) -> list[tuple[str, str]]:
    """What was said, without the tool calls: those are in the memory as the framework has them."""
    return [(message.role, message.content) for message in messages if message.role != "tool" and message.content]


def _digest(words: list[tuple[str, str]]) -> str:
    return hashlib.blake2b(json.dumps(words).encode(), digest_size=16).hexdigest()
