"""The body of a chat request, typed (CHAT-01..04). `schemas.ChatRequest` documents the same."""

from typing import Literal

import msgspec

from greenroom.edge import strict_json

OPTION_FIELDS = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "response_format",
    "reasoning_effort",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "top_k",
    "min_p",
    "verbosity",
    "prediction",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
)
"""What reaches the agent as `Turn.options`, the client's own tools among it; every other unknown field is accepted and left
alone (CHAT-03)."""

ABSENT = msgspec.Raw(b"")
"""What a free field is that was not sent."""
NULL = b"null"


class Part(msgspec.Struct):
    """One part of a message's content."""

    type: str
    text: str | None = None


class Function(msgspec.Struct):
    """What a carried tool call called. Its `result`, where it is ours, is not looked at."""

    name: str
    arguments: str


class CarriedCall(msgspec.Struct):
    """One tool call on a carried assistant message."""

    id: str
    function: Function


class ChatMessage(msgspec.Struct):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: msgspec.Raw = ABSENT
    tool_call_id: str | None = None


class StreamOptions(msgspec.Struct):
    """How a stream ends."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The body; what is not named here is accepted and ignored."""

    messages: list[ChatMessage]
    user_id: str | None = None
    session_id: str | None = None
    metadata: msgspec.Raw = ABSENT
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    sessionId: str | None = None
    user: str | None = None
    model: msgspec.Raw = ABSENT
    temperature: msgspec.Raw = ABSENT
    top_p: msgspec.Raw = ABSENT
    max_tokens: msgspec.Raw = ABSENT
    max_completion_tokens: msgspec.Raw = ABSENT
    presence_penalty: msgspec.Raw = ABSENT
    frequency_penalty: msgspec.Raw = ABSENT
    stop: msgspec.Raw = ABSENT
    seed: msgspec.Raw = ABSENT
    response_format: msgspec.Raw = ABSENT
    reasoning_effort: msgspec.Raw = ABSENT
    logit_bias: msgspec.Raw = ABSENT
    logprobs: msgspec.Raw = ABSENT
    top_logprobs: msgspec.Raw = ABSENT
    top_k: msgspec.Raw = ABSENT
    min_p: msgspec.Raw = ABSENT
    verbosity: msgspec.Raw = ABSENT
    prediction: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT
    tool_choice: msgspec.Raw = ABSENT
    parallel_tool_calls: msgspec.Raw = ABSENT
    functions: msgspec.Raw = ABSENT
    function_call: msgspec.Raw = ABSENT


_decoder = msgspec.json.Decoder(ChatRequest)
_calls_decoder = msgspec.json.Decoder(list[CarriedCall] | None)


def parse(body: bytes) -> ChatRequest:
    """The body as a request, or 400 naming the field (ERR-02)."""
    return strict_json.parse(body, _decoder)


def parse_calls(text: msgspec.Raw, field: str) -> list[CarriedCall]:
    """The tool calls that a carried assistant message has, or 400."""
    strict_json.check_free(text, field)
    try:
        return _calls_decoder.decode(text) or []
    except msgspec.DecodeError as error:
        raise strict_json.explain(error, field) from None
