"""The agent's tools as a model is shown them and calls them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenroom.core.plain import to_json
from greenroom.core.tools import ToolFailed

if TYPE_CHECKING:
    from greenroom.core.turn import Turn


class TurnTools:
    """The agent's tools as a model needs them."""

    def __init__(self, turn: "Turn") -> None:
        self._turn = turn

    def openai(self) -> list[dict[str, Any]]:
        """The schemas, for the `tools` of a chat completion."""
        return [tool.openai() for tool in self._turn.toolbox.tools]

    async def run(self, tool_calls: Sequence[Any]) -> list[dict[str, Any]]:
        """Runs a model's tool calls in parallel (OpenAI's objects, or dicts) and returns the `tool` messages that
        answer them, in the same order. A failed call's message is its error, for the model to read."""
        return list(await asyncio.gather(*(self._answer(_as_dict(call)) for call in tool_calls)))

    async def _answer(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call["function"]
        answer = {"role": "tool", "tool_call_id": call.get("id", "")}
        try:
            arguments = json.loads(function.get("arguments") or "{}")
            if not isinstance(arguments, dict):
                raise TypeError
        except (ValueError, TypeError):
            arguments = {"arguments": function.get("arguments")}
        try:
            result = await self._turn.toolbox.call(function["name"], arguments)
        except ToolFailed as failed:
            return {**answer, "content": to_json({"error": {"type": failed.type, "message": failed.message}})}
        return {**answer, "content": to_json(result)}


def _as_dict(call: Any) -> Mapping[str, Any]:
    if isinstance(call, Mapping):
        return call
    dumped: Mapping[str, Any] = call.model_dump()
    return dumped
