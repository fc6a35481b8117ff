"""A run's events, told to the turn as they come."""

from typing import Any

from greenroom.agents.adapters.speech import Speech
from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import OutsideCall, Turn

_DELTAS = ("response.output_text.delta", "response.refusal.delta")
_ENDS = ("response.completed", "response.incomplete")
_RUN_HERE = frozenset({"computer_call", "local_shell_call", "shell_call", "apply_patch_call", "custom_tool_call"})
"""Calls whose results the SDK tells by another event; of any other, what the model's side made of it is in the call."""
_OUTCOME = frozenset({"output", "outputs", "result", "results", "error", "status"})
"""What a hosted tool has made of a call."""
_OURS = "function_call"
"""Calls that the toolbox has recorded."""


class Telling:
    """What the agents say, and the calls of tools that are not run here. With `hold` nothing is said before `release`."""

    def __init__(self, turn: Turn, *, hold: bool) -> None:
        self._turn = turn
        self._speech = Speech(turn)
        self._held: list[str] | None = [] if hold else None
        self._response = 0
        self._places: list[int] = []
        """Where the messages of the current response stand among what it puts out, in the order in which they began."""
        self._outside: dict[str, OutsideCall] = {}

    async def event(self, event: Any) -> None:
        if event.type == "raw_response_event":
            await self._raw(event.data)
        elif event.type == "run_item_stream_event" and event.name == "tool_called":
            self._called(event.item)
        elif event.type == "run_item_stream_event" and event.name == "tool_output":
            call = self._outside.pop(str(event.item.call_id), None)
            if call is not None:
                call.returned(as_json(event.item.output))

    async def say(self, text: str) -> None:
        """A message that no model has written."""
        self._response += 1
        await self._whole(0, text)

    async def refuse(self, text: str) -> None:
        """Says this in place of what was held back."""
        self._held = None
        await self.say(text)

    async def release(self) -> None:
        """Says what was held back."""
        held, self._held = self._held or (), None
        for number, text in enumerate(held):
            await self._speech.whole(f"held {number}", text)

    async def _raw(self, data: Any) -> None:
        if data.type in _DELTAS and self._held is None:
            if data.output_index not in self._places:
                self._places.append(data.output_index)
            await self._speech.piece(self._name(self._places.index(data.output_index)), data.delta)
        elif data.type in _ENDS:
            messages = [item for item in data.response.output if item.type == "message"]
            for number, message in enumerate(messages):
                await self._whole(number, _text_of(message))
            self._response += 1
            self._places = []

    async def _whole(self, number: int, text: str) -> None:
        if self._held is None:
            await self._speech.whole(self._name(number), text)
        elif text:
            self._held.append(text)

    def _name(self, number: int) -> str:
        return f"{self._response}.{number}"

    def _called(self, item: Any) -> None:
        raw: dict[str, Any] = as_json(item.raw_item)
        kind = str(raw.get("type"))
        if kind == _OURS:
            return
        name = item.tool_name or kind.removesuffix("_call")
        given = {
            key: value for key, value in raw.items() if key not in _OUTCOME and key not in ("id", "call_id", "type")
        }
        call = self._turn.outside(name, given, str(item.call_id or ""))
        if kind in _RUN_HERE:
            self._outside[str(item.call_id)] = call
        elif raw.get("error"):
            call.failed("failed", str(raw["error"]))
        else:
            call.returned({key: raw[key] for key in sorted(raw.keys() & _OUTCOME)})


def _text_of(message: Any) -> str:
    return "".join(getattr(part, "text", None) or getattr(part, "refusal", None) or "" for part in message.content)
