"""Reading replies that may have any shape."""

from typing import Any

from greenroom.rehearsal.check import NotOffered, NotTold, demand
from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.stage import Message, Stage


class Reply:
    """A chat reply, read with care: what is not there is "" or None."""

    def __init__(self, answer: Answer) -> None:
        body = answer.json
        self.answer = answer
        self.body: dict[str, Any] = body if isinstance(body, dict) else {}

    @property
    def message(self) -> dict[str, Any]:
        choices = self.body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        return message if isinstance(message, dict) else {}

    @property
    def text(self) -> str:
        content = self.message.get("content")
        return content if isinstance(content, str) else ""

    @property
    def metadata(self) -> dict[str, Any]:
        metadata = self.body.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def turn(self) -> int | None:
        """The turn's number, if it states one (CHAT-08)."""
        turn = self.metadata.get("turn")
        return turn if is_whole(turn) else None

    @property
    def history(self) -> str | None:
        """How the request was placed, if it says so (CHAT-13)."""
        history = self.metadata.get("history")
        return history if isinstance(history, str) else None

    def named(self, field: str) -> str:
        """An id at top level. Raises `NotOffered` where there is none."""
        value = self.body.get(field)
        if not isinstance(value, str) or not value:
            raise NotOffered(f"replies have no {field}")
        return value

    @property
    def tool_calls(self) -> list[Any]:
        calls = self.message.get("tool_calls")
        return calls if isinstance(calls, list) else []


async def turn(stage: Stage, messages: list[Message], *, how: dict[str, str] | None = None, **fields: Any) -> Reply:
    """A turn that must work for the check to be played. Raises `NotTold` where it does not."""
    answer = await stage.chat(stage.body(messages, **fields), headers=how or {})
    if answer.status != 200:
        raise NotTold(f"a turn was answered {answer.status}: {answer.excerpt[:200]}")
    return Reply(answer)


async def answered(stage: Stage, body: Any, right: str, *, how: dict[str, str] | None = None) -> Reply:
    """A turn whose being answered is what is checked. Raises `DoesNotHold` where it is not."""
    answer = await stage.chat(body, headers=how or {})
    demand(answer.status == 200, f"answered {answer.status}", right, answer)
    return Reply(answer)


def is_whole(value: Any) -> bool:
    """Whether JSON had an integer there."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether JSON had a number there."""
    return isinstance(value, int | float) and not isinstance(value, bool)
