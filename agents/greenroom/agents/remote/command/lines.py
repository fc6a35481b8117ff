"""What a command and its host say to each other: one JSON object a line.

The host writes a turn to the command's standard input (`turn_line`). The command writes events to its standard output, each
an object with one of these keys:

    text        more of the reply's text, told at once
    tool_call   a tool of the host's to call: {name, arguments, id}; answered on standard input by {"tool_result": {id, ok,
                result}}, or with `error` {type, message} in place of `result`
    outside     a tool call that the command has made itself: {name, arguments, result}, or with `error` in place of `result`
    reply       the end of the turn: the last of the text, or {text, confidence, evaluation, metadata, usage, state}
    error       the end of the turn, without a reply: a text for the log, or {message, unavailable, retry_after}

and with `id`, that of the turn, where the command wants to be sure.
"""

from typing import Any

import msgspec

from greenroom.agents.remote import plain_json
from greenroom.agents.remote.failure import RemoteFailed
from greenroom.sdk import Turn
from greenroom.tools.excerpt import shortened

LONGEST = 8 * 1024 * 1024
"""Bytes in a line."""


class Failure(msgspec.Struct, forbid_unknown_fields=True):
    """How a tool call failed (CHAT-10)."""

    type: str = "failed"
    message: str = ""


class ToolCall(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] = {}
    id: Any = None
    """Comes back with the result."""


class Outside(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] = {}
    result: Any = None
    error: Failure | None = None
    id: str = ""


class Counted(msgspec.Struct, forbid_unknown_fields=True):
    """Tokens that a model has counted."""

    prompt_tokens: int
    completion_tokens: int


class Ending(msgspec.Struct, forbid_unknown_fields=True):
    """A reply. `state` None: as it was."""

    text: str = ""
    confidence: float | None = None
    evaluation: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    usage: Counted | None = None
    state: dict[str, Any] | None = None


class Trouble(msgspec.Struct, forbid_unknown_fields=True):
    """Why there is no reply. `unavailable`: what the command asks is down, and another try may help."""

    message: str = ""
    unavailable: bool = False
    retry_after: float = 1.0


class Event(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = None
    tool_call: ToolCall | None = None
    outside: Outside | None = None
    reply: str | Ending | None = None
    error: str | Trouble | None = None
    id: str = ""


_events = msgspec.json.Decoder(Event)


def read_event(line: bytes) -> Event:
    """Raises `RemoteFailed` for a line that is none."""
    try:
        event = _decoded(line)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise _no_event(str(problem), line) from None
    kinds = (event.text, event.tool_call, event.outside, event.reply, event.error)
    if sum(kind is not None for kind in kinds) != 1:
        raise _no_event("it has one of text, tool_call, outside, reply and error", line)
    return event


def _decoded(line: bytes) -> Event:
    """A half of a character, which languages with UTF-16 strings leave where they cut a text, becomes a question mark."""
    try:
        return _events.decode(line)
    except msgspec.DecodeError:
        if b"\\u" not in line:
            raise
        try:
            whole = plain_json.line(plain_json.read(line.decode()))
        except ValueError:
            whole = line
        return _events.decode(whole)


def _no_event(why: str, line: bytes) -> RemoteFailed:
    return RemoteFailed(f"it wrote a line that is no event ({why}): {shortened(line[:1000].decode(errors='replace'))}")


def turn_line(turn: Turn, turn_id: str) -> bytes:
    """`text` comes first, so that a script can find it without a JSON parser."""
    user = turn.user
    told = {
        "text": turn.text,
        "id": turn_id,
        "session_id": turn.session_id,
        "chat_id": turn.chat_id,
        "number": turn.number,
        "user": {"id": user.id, "profile": dict(user.profile), "metadata": dict(user.metadata)},
        "messages": turn.messages.openai(),
        "system": list(turn.system),
        "tools": turn.tools.openai(),
        "metadata": dict(turn.metadata),
        "options": dict(turn.options),
        "state": turn.state,
        "time_left": round(turn.time_left, 3),
        "now": turn.clock.now().isoformat(),
        "key": turn.key,
        "request_id": turn.request_id,
        "traceparent": turn.traceparent,
    }
    return plain_json.line(told)


def result_line(call_id: Any, result: Any) -> bytes:
    return plain_json.line({"tool_result": {"id": call_id, "ok": True, "result": result}})


def failure_line(call_id: Any, type: str, message: str) -> bytes:
    return plain_json.line({"tool_result": {"id": call_id, "ok": False, "error": {"type": type, "message": message}}})
