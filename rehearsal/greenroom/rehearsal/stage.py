"""What a check plays on: the endpoint, and what was found out about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from greenroom.rehearsal.endpoint import CHAT, Answer, Ask, Endpoint
from greenroom.rehearsal.names import Names
from greenroom.rehearsal.options import Options

if TYPE_CHECKING:
    from greenroom.rehearsal.crowd import Crowd
    from greenroom.rehearsal.load import Load

Message = Mapping[str, Any]
Advance = Callable[[str, int, int], None]
"""Told of long work: what it is, how much is done, of how much."""


@dataclass(slots=True)
class Stage:
    """Shared by the checks of a run."""

    options: Options
    endpoint: Endpoint
    names: Names
    advance: Advance
    model: str = ""
    """What requests name, where the endpoint wants one."""
    replies: list[Answer] = field(default_factory=list)
    """Answers of 200 to chat requests that were seen so far, for the checks that come last."""
    gone: bool = False
    """Whether a finding says already that it cannot be reached any more."""
    crowd: "Crowd | None" = None
    load: "Load | None" = None

    def body(self, messages: Sequence[Message], **fields: Any) -> dict[str, Any]:
        """A chat request."""
        return {**({"model": self.model} if self.model else {}), "messages": list(messages), **fields}

    async def chat(self, body: Any, **how: Any) -> Answer:
        """The answer to a chat request, whatever it is. Raises `NoAnswer`."""
        return self.saw(await self.endpoint.ask("POST", CHAT, body, **how))

    async def chat_once(self, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """The same, not repeated where the endpoint says that it is busy."""
        return self.saw(await self.endpoint.ask_once(Ask("POST", CHAT, body, headers=headers or {})))

    def saw(self, answer: Answer) -> Answer:
        """Remembers a reply, and the session that it names."""
        if answer.status == 200:
            self.replies.append(answer)
            reply = answer.json
            if isinstance(reply, dict) and isinstance(reply.get("session_id"), str):
                self.names.sessions[reply["session_id"]] = None
        return answer


def user_says(text: str) -> dict[str, str]:
    """A message of the simulated user."""
    return {"role": "user", "content": text}
