"""Chat in JSON to a turn in protobuf, and a stored reply back to JSON. Pure functions; free JSON passes through as text."""

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from greenroom.edge.chat_reply import (
    Call,
    Choice,
    Completion,
    Function,
    ReplyMessage,
    ReplyMetadata,
    ReplyScenario,
    ReplyUsage,
)
from greenroom.edge.chat_request import ABSENT, NULL, OPTION_FIELDS, ChatMessage, ChatRequest, Part, parse_calls
from greenroom.edge.errors import bad_request
from greenroom.edge.identifiers import check_id
from greenroom.edge.strict_json import check_free
from greenroom.v1 import turn_pb2
from greenroom.v1.agent_pb2 import Caller, RunTurnRequest

MAX_METADATA_BYTES = 64 * 1024
HISTORIES = {
    number: name.removeprefix("HISTORY_").lower() for name, number in turn_pb2.History.items() if number
}  # CHAT-08
_options_of = attrgetter(*OPTION_FIELDS)
_NO_OPTIONS = (ABSENT,) * len(OPTION_FIELDS)
_CONTEXT_ROLES = frozenset({"system", "developer"})


class Envelope(msgspec.Struct, frozen=True):
    """What a request says outside its body."""

    session_id: str = ""
    """From a header; the body's own wins (CHAT-03)."""
    attempt_id: str = ""
    idempotency_key: str = ""
    request_id: str = ""
    traceparent: str = ""
    caller: Caller | None = None
    retry_count: int = 0
    refused_at_us: int = 0
    transcript: bool = False
    """The header that names the session is one of clients that send the whole conversation."""


def to_turn(chat: ChatRequest, envelope: Envelope) -> RunTurnRequest:
    """The turn that a chat request asks for, or 400 naming the field."""
    if chat.n is not None and chat.n != 1:
        raise bad_request("`n` must be 1: a turn has one reply", "n")
    turn = RunTurnRequest(
        session_id=_session_id(chat, envelope),
        user_id=_user_id(chat),
        attempt_id=envelope.attempt_id,
        request_id=envelope.request_id,
        caller=envelope.caller,
    )
    if envelope.idempotency_key:
        turn.idempotency_key = envelope.idempotency_key
    if envelope.transcript and not (chat.session_id or chat.sessionId):
        turn.transcript = True
    if envelope.traceparent:
        turn.traceparent = envelope.traceparent
    if envelope.retry_count:
        turn.retry_count = envelope.retry_count
        turn.refused_at_us = envelope.refused_at_us
    add = turn.messages.add
    for index, message in enumerate(chat.messages):
        content = message.content
        if type(content) is str and message.tool_calls is ABSENT and not message.name and not message.tool_call_id:
            add(role=message.role, content=content)
        else:
            _add_odd(turn, index, message)
    _check_order(chat.messages)
    if chat.model is not ABSENT:
        turn.agent = agent_of(chat.model)
    if chat.metadata is not ABSENT:
        turn.metadata_json = free_object(chat.metadata, "metadata")
    options = _options(chat)
    if options:
        turn.options_json = options
    return turn


def free_object(value: msgspec.Raw, field: str) -> str:
    """A JSON object as its own text; empty for null. 400 when it is something else, too large or out of range."""
    text = bytes(value)
    if not text or text == NULL:
        return ""
    if text[:1] != b"{":
        raise bad_request(f"`{field}` must be a JSON object", field)
    if len(text) > MAX_METADATA_BYTES:
        raise bad_request(f"`{field}` must not be larger than 64 KiB", field)
    check_free(value, field)
    return text.decode()


def agent_of(model: msgspec.Raw) -> str:
    """The agent that `model` names; "" where it is no name."""
    if bytes(model)[:1] != b'"':
        return ""
    name: str = msgspec.json.decode(model)
    return name


def _session_id(chat: ChatRequest, envelope: Envelope) -> str:
    if chat.session_id:
        return check_id(chat.session_id, "session_id")
    if chat.sessionId:
        return check_id(chat.sessionId, "sessionId")
    return envelope.session_id


def _user_id(chat: ChatRequest) -> str:
    if chat.user_id:
        return check_id(chat.user_id, "user_id")
    return check_id(chat.user, "user") if chat.user else ""


def _add_odd(turn: RunTurnRequest, index: int, message: ChatMessage) -> None:
    """Adds a message that is more than a role and a text."""
    field = f"messages[{index}]"
    calls = None
    if (
        message.tool_calls is not ABSENT
        and message.role == "assistant"
        and parse_calls(message.tool_calls, f"{field}.tool_calls")
    ):
        calls = bytes(message.tool_calls).decode()
    content = message.content
    if content is None:
        if calls is None:
            raise bad_request(f"`{field}.content` is required", f"{field}.content")
    elif not isinstance(content, str):
        content = _joined(content, f"{field}.content")
    turn.messages.add(
        role=message.role,
        content=content,
        name=message.name,
        tool_calls_json=calls,
        tool_call_id=message.tool_call_id,
    )


def _joined(parts: list[Part], field: str) -> str:
    """Text parts as one text, a line each (CHAT-04)."""
    if not parts:
        raise bad_request(f"`{field}` must not be empty", field)
    texts = []
    for index, part in enumerate(parts):
        if part.type != "text":
            where = f"{field}[{index}]"
            raise bad_request(f"`{where}` is a part of type {part.type[:40]!r}: only text is supported", where)
        if part.text is None:
            where = f"{field}[{index}].text"
            raise bad_request(f"`{where}` is required", where)
        texts.append(part.text)
    return "\n".join(texts)


def _check_order(messages: list[ChatMessage]) -> None:
    """CHAT-04: who may have the last word."""
    if not messages:
        raise bad_request("`messages` must not be empty", "messages")
    last = messages[-1].role
    if last in {"user", "tool"} or all(message.role in _CONTEXT_ROLES for message in messages):
        return
    raise bad_request(f"The last message must be from the user, it is from the {last}", "messages")


def _options(chat: ChatRequest) -> str:
    values = _options_of(chat)
    if values == _NO_OPTIONS:
        return ""
    sent = {
        name: value
        for name, value in zip(OPTION_FIELDS, values, strict=True)
        if value is not ABSENT and bytes(value) != NULL
    }
    for name, value in sent.items():
        check_free(value, name)
    return msgspec.json.encode(sent).decode() if sent else ""


_encoder = msgspec.json.Encoder()


def from_reply(reply: turn_pb2.Reply, *, trace_in_metadata: bool = False, show_calls: bool = True) -> bytes:
    """The stored reply as the body of a chat completion (CHAT-05..10), the same bytes whenever it is asked for."""
    calls = calls_of(reply.tool_calls) if show_calls and reply.tool_calls else None
    message = ReplyMessage("assistant", reply.text, None if trace_in_metadata else calls)
    return _encoder.encode(
        Completion(
            id=reply.completion_id,
            object="chat.completion",
            created=reply.created_at.seconds,
            model=reply.agent,
            choices=[Choice(0, message, "stop")],
            usage=usage_of(reply),
            session_id=reply.session_id,
            chat_id=reply.chat_id,
            metadata=metadata_of(reply, calls if trace_in_metadata else None),
            evaluation_metadata=msgspec.Raw(reply.evaluation_json or "{}"),
        )
    )


def calls_of(calls: Iterable[turn_pb2.ToolCall], *, first_index: int | None = None) -> list[Call]:
    """Tool calls in order of start; in a stream with their indexes, from this one on (STREAM-03)."""
    return [
        Call(
            call.id,
            "function",
            Function(call.name, call.arguments_json or "{}", msgspec.Raw(call.result_json or "null")),
            None if first_index is None else first_index + index,
            call.scripted_by or None,
        )
        for index, call in enumerate(calls)
    ]


def tools_used(reply: turn_pb2.Reply) -> list[str]:
    """Names in order of first use (CHAT-08)."""
    return list(dict.fromkeys([call.name for call in reply.tool_calls]))


def usage_of(reply: turn_pb2.Reply) -> ReplyUsage:
    """The turn's tokens."""
    usage = reply.usage
    sent, said = usage.prompt_tokens, usage.completion_tokens
    return ReplyUsage(sent, said, sent + said)


def scenario_of(scenario: turn_pb2.Scenario) -> ReplyScenario:
    """USER-06."""
    return ReplyScenario(
        scenario.id,
        scenario.requested or None,
        scenario.found,
        scenario.applied if scenario.HasField("applied") else None,
    )


def metadata_of(reply: turn_pb2.Reply, trace: list[Call] | None) -> ReplyMetadata | msgspec.Raw:
    """The time is the stored one, so that a replay is equal byte for byte (CHAT-15). What the agent adds follows."""
    own = ReplyMetadata(
        agent_confidence=reply.confidence if reply.HasField("confidence") else None,
        response_time_ms=(reply.duration_us + 500) // 1000,
        tools_used=tools_used(reply) if reply.tool_calls else [],
        turn=reply.number,
        history=HISTORIES.get(reply.history),
        scenario=scenario_of(reply.scenario),
        tool_trace=trace,
    )
    if not reply.metadata_json:
        return own
    said: dict[str, msgspec.Raw] = msgspec.json.decode(reply.metadata_json, type=dict[str, msgspec.Raw])
    added = {name: value for name, value in said.items() if name not in ReplyMetadata.__struct_fields__}
    if not added:
        return own
    return msgspec.Raw(_encoder.encode(own)[:-1] + b"," + _encoder.encode(added)[1:])
