"""A turn's conversation as pydantic-ai has it."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from greenroom.sdk import Message, Turn

OPENING = "Begin the conversation."
"""Said to the model where the agent opens: not every provider takes a request without a user's message."""


def history_of(turn: Turn) -> list[ModelMessage]:
    """The instructions, what is known of the user (where memory is on) and the context as system messages, then the
    conversation with its tool calls."""
    return messages_of(turn.messages, turn.system)


def messages_of(conversation: Sequence[Message], system: Sequence[str] = ()) -> list[ModelMessage]:
    """A conversation, with system texts before it."""
    request: list[ModelRequestPart] = [SystemPromptPart(text) for text in system]
    messages: list[ModelMessage] = []
    for item in _conversation(conversation) or [UserPromptPart(OPENING)]:
        if isinstance(item, ModelResponse):
            if request:
                messages.append(ModelRequest(request))
                request = []
            messages.append(item)
        else:
            request.append(item)
    if request:
        messages.append(ModelRequest(request))
    return messages


def _conversation(messages: Sequence[Message]) -> list[ModelRequestPart | ModelResponse]:
    """A call that was never answered is left out, and so is an answer to no call: providers refuse either."""
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    names: dict[str, str] = {}
    items: list[ModelRequestPart | ModelResponse] = []
    for message in messages:
        if message.role == "user":
            items.append(UserPromptPart(message.content or ""))
        elif message.role == "tool":
            if (name := names.pop(message.tool_call_id, None)) is not None:
                items.append(ToolReturnPart(name, message.content or "", message.tool_call_id))
        else:
            parts: list[ModelResponsePart] = [TextPart(message.content)] if message.content else []
            for call in _calls(message):
                if call.tool_call_id in answered:
                    names[call.tool_call_id] = call.tool_name
                    parts.append(call)
            if parts:
                items.append(ModelResponse(parts))
    return items


def _calls(message: Message) -> Iterable[ToolCallPart]:
    calls: list[dict[str, Any]] = json.loads(message.tool_calls_json) if message.tool_calls_json else []
    for call in calls:
        function = call.get("function") or {}
        yield ToolCallPart(str(function.get("name", "")), function.get("arguments") or "{}", str(call.get("id", "")))
