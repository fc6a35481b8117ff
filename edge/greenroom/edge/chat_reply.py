"""The body of a reply, typed (CHAT-05..10). `schemas.Completion` documents the same."""

import msgspec


class Function(msgspec.Struct):
    """What a call called."""

    name: str
    arguments: str
    result: msgspec.Raw


class Call(msgspec.Struct, omit_defaults=True):
    """One tool call as chat shows it (CHAT-10)."""

    id: str
    type: str
    function: Function
    index: int | None = None
    """In a stream only (STREAM-03)."""
    scripted_by: str | None = None
    """The scenario's rule that scripted it; absent on a real call."""


class ReplyMessage(msgspec.Struct, omit_defaults=True):
    """The agent's message."""

    role: str
    content: str
    tool_calls: list[Call] | None = None


class Choice(msgspec.Struct):
    """The one choice."""

    index: int
    message: ReplyMessage
    finish_reason: str


class ReplyScenario(msgspec.Struct, omit_defaults=True):
    """USER-06."""

    id: str
    requested: str | None
    found: bool
    applied: bool | None = None


class ReplyMetadata(msgspec.Struct, omit_defaults=True, kw_only=True):
    """CHAT-08."""

    agent_confidence: float | None = None
    response_time_ms: int
    tools_used: list[str]
    turn: int
    history: str | None
    scenario: ReplyScenario
    tool_trace: list[Call] | None = None


class ReplyUsage(msgspec.Struct):
    """Three ints (CHAT-05)."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(msgspec.Struct, kw_only=True):
    """The body of a reply, in the order it is written."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: ReplyUsage
    session_id: str
    chat_id: str
    metadata: ReplyMetadata | msgspec.Raw
    evaluation_metadata: msgspec.Raw
