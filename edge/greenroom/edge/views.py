"""What is stored, as JSON for the routes that read it back. Free JSON passes through as text."""

from typing import Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from greenroom.edge.codec import HISTORIES, calls_of, scenario_of, usage_of
from greenroom.v1 import session_pb2, turn_pb2, user_pb2


def time_of(stamp: Timestamp) -> str:
    """RFC 3339, UTC, ending in Z."""
    return stamp.ToJsonString()


def user(stored: user_pb2.User) -> dict[str, Any]:
    """USER-04."""
    return {
        "user_id": stored.user_id,
        "created_at": time_of(stored.created_at),
        "status": stored.status,
        "metadata": _free(stored.metadata_json),
        "profile": _free(stored.profile_json),
    }


def session(stored: session_pb2.Session) -> dict[str, Any]:
    """SESSION-01."""
    return {
        "session_id": stored.session_id,
        "chat_id": stored.chat_id,
        "user_id": stored.user_id or None,
        "agent": stored.agent,
        "created_at": time_of(stored.created_at),
        "updated_at": time_of(stored.updated_at),
        "closed_at": time_of(stored.closed_at) if stored.HasField("closed_at") else None,
        "turn_count": stored.turn_count,
        "head": stored.head,
        "transcript_mode": stored.transcript_mode,
        "metadata": _free(stored.metadata_json),
        "scenario": scenario_of(stored.scenario),
        "from": origin(stored.origin) if stored.HasField("origin") else None,
    }


def origin(stored: session_pb2.Origin) -> dict[str, Any]:
    """Where a fork begins (SESSION-03)."""
    return {"session_id": stored.session_id, "turn": stored.turn if stored.HasField("turn") else None}


def turn(stored: session_pb2.Turn) -> dict[str, Any]:
    """SESSION-01: everything that is known of a turn."""
    reply = stored.reply
    saw: dict[str, Any] = {"system": list(stored.system), "user": _free(stored.user_json)}
    if stored.known_json:
        saw["memory"] = _free(stored.known_json)
    return {
        "turn": stored.number,
        "parent": stored.parent,
        "superseded": stored.superseded,
        "adopted": stored.adopted,
        "created_at": time_of(reply.created_at),
        "duration_ms": reply.duration_us / 1000,
        "waited_ms": stored.waited_us / 1000,
        "agent_ms": stored.ran_us / 1000,
        "retry_count": stored.retry_count,
        "messages": [message(one) for one in stored.messages],
        "reply": {"id": reply.completion_id, "role": "assistant", "content": reply.text},
        "tool_calls": [tool_call(one) for one in reply.tool_calls],
        "agent_confidence": reply.confidence if reply.HasField("confidence") else None,
        "evaluation_metadata": _free(reply.evaluation_json),
        "reply_metadata": _free(reply.metadata_json),
        "history": HISTORIES.get(reply.history),
        "placed": stored.placed or None,
        "scenario": scenario_of(reply.scenario),
        "saw": saw,
        "options": _free(stored.options_json),
        "usage": usage_of(reply),
        "metadata": _free(stored.metadata_json),
        "state": _free(stored.state_json, "null"),
        **({"noted": _free(stored.noted_json)} if stored.noted_json else {}),
        "changes": [change(one) for one in stored.changes],
        "request_id": stored.request_id,
    }


def whole_turn(stored: session_pb2.Turn) -> dict[str, Any]:
    """The same, with the conversation that the agent saw."""
    shown = turn(stored)
    shown["saw"]["messages"] = [message(one) for one in stored.seen]
    return shown


def failed(stored: session_pb2.FailedTurn) -> dict[str, Any]:
    """An attempt that left nothing in the session (CHAT-17)."""
    return {
        "failed_at": time_of(stored.failed_at),
        "reason": stored.reason.lower(),
        "detail": stored.detail,
        "duration_ms": stored.duration_us / 1000,
        "messages": [message(one) for one in stored.messages],
        "tool_calls": [tool_call(one) for one in stored.tool_calls],
        "request_id": stored.request_id,
    }


def message(stored: turn_pb2.Message) -> dict[str, Any]:
    """As OpenAI's chat format has it."""
    shown: dict[str, Any] = {
        "role": stored.role,
        "content": stored.content if stored.HasField("content") else None,
    }
    if stored.name:
        shown["name"] = stored.name
    if stored.tool_calls_json:
        shown["tool_calls"] = msgspec.Raw(stored.tool_calls_json)
    if stored.tool_call_id:
        shown["tool_call_id"] = stored.tool_call_id
    return shown


def tool_call(stored: turn_pb2.ToolCall) -> dict[str, Any]:
    """As in the reply (CHAT-10), with its timing and what it changed."""
    [call] = calls_of([stored])
    scripted = {"scripted_by": call.scripted_by} if call.scripted_by else {}
    return {
        "id": call.id,
        "type": call.type,
        "function": call.function,
        **scripted,
        "ok": stored.ok,
        "started_ms": stored.started_us / 1000,
        "duration_ms": stored.duration_us / 1000,
        "changes": [change(one) for one in stored.changes],
    }


def change(stored: turn_pb2.Change) -> dict[str, Any]:
    """One record: `before` is absent where there was none, `after` where there is none any more (SESSION-02)."""
    shown: dict[str, Any] = {
        "collection": stored.collection,
        "key": stored.key if stored.HasField("key") else None,
    }
    if stored.HasField("before_json"):
        shown["before"] = msgspec.Raw(stored.before_json)
    if stored.HasField("after_json"):
        shown["after"] = msgspec.Raw(stored.after_json)
    return shown


def _free(text: str, absent: str = "{}") -> msgspec.Raw:
    return msgspec.Raw(text or absent)
