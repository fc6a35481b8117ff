"""A conversation as the items that the SDK's models take."""

import json
from collections.abc import Iterable
from typing import Any

from greenroom.agents.adapters.system import system_texts
from greenroom.sdk import Message, Turn

_OPENING = "Begin the conversation."
"""Said to the model where the agent opens: not every one takes a request without a user's message."""

Item = dict[str, Any]


def context_items(turn: Turn) -> list[Item]:
    """The system texts of this turn."""
    return [{"role": "system", "content": text} for text in system_texts(turn)]


def items_of(messages: Iterable[Message]) -> list[Item]:
    """Messages with their tool calls. A call without its result is left out, as is a result without its call."""
    messages = list(messages)
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    called: set[str] = set()
    items: list[Item] = []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id in called:
                output = {"call_id": message.tool_call_id, "output": message.content or ""}
                items.append({"type": "function_call_output", **output})
            continue
        if message.content:
            items.append({"role": message.role, "content": message.content})
        for call in json.loads(message.tool_calls_json or "[]"):
            if call.get("id") in answered:
                called.add(call["id"])
                items.append(_call_item(call))
    return items or [{"role": "user", "content": _OPENING}]


def said(text: str) -> Item:
    """A message of the agent's own."""
    return {"role": "assistant", "content": text}


def _call_item(call: dict[str, Any]) -> Item:
    function = call.get("function") or {}
    name, arguments = function.get("name", ""), function.get("arguments") or "{}"
    return {"type": "function_call", "call_id": call["id"], "name": name, "arguments": arguments}
