"""The agent's tools as a model is shown them and calls them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenroom.core.plain import to_json
from greenroom.core.schema import InvalidArguments
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
        name, told, toolbox = function["name"], function.get("arguments"), self._turn.toolbox
        try:
            try:
                arguments = _read(told)
            except InvalidArguments as problem:
                # not for the tool to see: it might take what it was not given for left out
                toolbox.outside(name, {"arguments": told}).failed("invalid_arguments", str(problem))
                raise ToolFailed(name, "invalid_arguments", str(problem)) from None
            result = await toolbox.call(name, arguments)
        except ToolFailed as failed:
            return {**answer, "content": to_json({"error": {"type": failed.type, "message": failed.message}})}
        return {**answer, "content": to_json(result)}


def _read(told: Any) -> Mapping[str, Any]:
    """A call's arguments, which most clients leave as the model has written them. Raises `InvalidArguments`."""
    if isinstance(told, Mapping):
        return told
    try:
        arguments = json.loads(told or "{}")
    except (ValueError, TypeError, RecursionError) as problem:
        raise InvalidArguments(f"the arguments are no JSON: {problem}") from None
    if not isinstance(arguments, dict):
        raise InvalidArguments("the arguments are JSON, but no object")
    return arguments


def _as_dict(call: Any) -> Mapping[str, Any]:
    if isinstance(call, Mapping):
        return call
    dumped: Mapping[str, Any] = call.model_dump()
    return dumped
