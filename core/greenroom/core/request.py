"""What goes into the core and what comes out of it, whoever carries it."""

import re
from datetime import datetime
from typing import Any

import msgspec

from greenroom.core.errors import InvalidRequest, LimitExceeded
from greenroom.core.feed import Feed
from greenroom.core.records import History, Message, ScenarioRef, SessionRecord, ToolCallRecord, TurnRecord

_OUTSIDE_PATHS = frozenset("/?#%")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_USER_ID = re.compile(r"[A-Za-z0-9_\-.:@+]{1,64}")


class Principal(msgspec.Struct, frozen=True, gc=False):
    """On whose behalf something is done. Two namespaces never meet; `key_name` is for fairness, logs and idempotency."""

    namespace: str = ""
    key_name: str = ""


NOBODY = Principal()


class TurnRequest(msgspec.Struct, kw_only=True, gc=False):
    """One turn to run. JSON is text; "" means absent. `timeout` is the caller's, in seconds, waiting included."""

    messages: tuple[Message, ...]
    session_id: str = ""
    user_id: str = ""
    agent: str = ""
    """The id of the agent that a new session is for; "": the default one."""
    metadata_json: str = ""
    options_json: str = ""
    attempt_id: str = ""
    resent: bool = False
    idempotency_key: str = ""
    request_id: str = ""
    principal: Principal = NOBODY
    timeout: float | None = None
    retry_count: int = 0
    """How often the client has sent this request before."""
    refused_at_us: int = 0
    """When a repeated request was first refused before it came here, in microseconds since 1970; 0: not known."""
    held_us: int = 0
    """How long it had been on its way when it came here, in microseconds."""
    traceparent: str = ""
    """W3C trace context of the caller."""
    transcript: bool = False
    """The client sends the whole conversation with every request."""
    feed: Feed | None = None
    """Where the reply is told while it is made."""


class TurnReply(msgspec.Struct, frozen=True, gc=False):
    """A stored turn with the session it belongs to. `replayed`: it was stored earlier."""

    session: SessionRecord
    turn: TurnRecord
    replayed: bool = False

    @property
    def tool_calls(self) -> tuple[ToolCallRecord, ...]:
        return self.turn.tool_calls

    @property
    def history(self) -> History:
        return self.turn.history

    @property
    def scenario(self) -> ScenarioRef:
        return self.turn.scenario

    @property
    def created_at(self) -> datetime:
        return self.turn.created_at


def sane_trace(traceparent: str) -> str:
    """W3C trace context as it may stand in a header; else "", as its rules ask for."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""


def check_id(value: str, field: str) -> str:
    """An id of CHAT-02, or "". Raises `InvalidRequest`."""
    if value and (len(value) > 128 or not value.isprintable() or not _OUTSIDE_PATHS.isdisjoint(value)):
        raise InvalidRequest(f"{field}: 1 to 128 printable characters without / ? # %", field=field)
    return value


def check_user_id(value: str) -> str:
    """The id of a user to create (USER-02). Raises `InvalidRequest`."""
    if not _USER_ID.fullmatch(value):
        raise InvalidRequest("user_id: 1 to 64 of letters, digits and _ - . : @ +", field="user_id")
    return value


def read_object(text: str, field: str, most: int) -> dict[str, Any]:
    """A JSON object of a request, of at most so many bytes; "" is an empty one. Raises `InvalidRequest` or `LimitExceeded`
    naming the field."""
    if not text or text == "{}":
        return {}
    if len(text) > most or (not text.isascii() and len(text.encode()) > most):
        raise LimitExceeded(f"{field}: {most} bytes of JSON at most", field=field)
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"{field}: not valid JSON", field=field) from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{field}: a JSON object is needed", field=field)
    return value
