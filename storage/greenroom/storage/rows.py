"""Records to rows and back, in the order of the column tuples below.

What goes to the driver is of the types that sqlite3 takes as they are: it asks around how to adapt a bool, None or bytes,
which costs three to six times as much as a text. Both databases read "0" and "1" as a boolean, and "" as no bytes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from greenroom.core.records import (
    Change,
    FailedTurn,
    History,
    Message,
    ScenarioRef,
    SessionRecord,
    Start,
    ToolCallRecord,
    TurnRecord,
    UserRecord,
)

Row = Sequence[Any]

SESSION_COLUMNS = (
    "key",
    "namespace",
    "session_id",
    "chat_id",
    "minted",
    "opened_by",
    "created_at",
    "forked_from",
    "forked_turn",
    "agent",
    "scenario_id",
    "scenario_requested",
    "scenario_found",
    "seed_sha",
    "scenario_sha",
    "user_id",
    "head",
    "turn_count",
    "transcript_mode",
    "metadata",
    "changed_bytes",
    "updated_at",
    "closed_at",
    "version",
)
MUTABLE_SESSION_COLUMNS = SESSION_COLUMNS[9:]
"""What a commit may change; the rest of a session's row is written once."""

TURN_COLUMNS = (
    "session_key",
    "number",
    "parent",
    "adopted",
    "attempt_id",
    "idempotency_key",
    "request_hash",
    "users_hash",
    "path_hash",
    "completion_id",
    "request_id",
    "messages",
    "context",
    "metadata",
    "options",
    "reply",
    "confidence",
    "evaluation",
    "history",
    "scenario_applied",
    "prompt_tokens",
    "completion_tokens",
    "state",
    "tool_calls",
    "created_at",
    "duration_us",
    "retry_count",
    "conversation_hash",
    "scenario",
    "scenario_sha",
    "seed_sha",
    "placed",
    "seen",
    "waited_us",
    "ran_us",
    "inputs_hash",
    "reply_metadata",
    "memory",
    "changes",
)
USER_COLUMNS = ("namespace", "user_id", "created_at", "metadata", "profile")
FAILED_COLUMNS = (
    "namespace",
    "session_id",
    "user_id",
    "attempt_id",
    "request_id",
    "reason",
    "detail",
    "messages",
    "tool_calls",
    "failed_at",
    "duration_us",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_YES = ("0", "1")
_encode = msgspec.json.Encoder().encode
_decode_messages = msgspec.json.Decoder(tuple[Message, ...]).decode
_decode_changes = msgspec.json.Decoder(tuple[Change, ...]).decode
_decode_scenario = msgspec.json.Decoder(ScenarioRef).decode
_decode_tool_calls = msgspec.json.Decoder(tuple[ToolCallRecord, ...]).decode


def to_microseconds(moment: datetime) -> int:
    """Exact for every aware datetime; a float of seconds is not."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def _to_json(items: tuple[Any, ...]) -> str:
    return _encode(items).decode() if items else "[]"


def session_tail(session: SessionRecord) -> tuple[Any, ...]:
    """The values of MUTABLE_SESSION_COLUMNS."""
    start = session.start
    scenario = start.scenario
    return (
        session.agent,
        scenario.id,
        scenario.requested,
        _NO_YES[scenario.found],
        start.seed_sha,
        start.scenario_sha,
        session.user_id,
        session.head,
        session.turn_count,
        _NO_YES[session.transcript_mode],
        session.metadata_json,
        session.changed_bytes,
        to_microseconds(session.updated_at),
        None if session.closed_at is None else to_microseconds(session.closed_at),
        session.version,
    )


def session_row(session: SessionRecord) -> tuple[Any, ...]:
    return (
        session.key,
        session.namespace,
        session.session_id,
        session.chat_id,
        _NO_YES[session.minted],
        session.opened_by,
        to_microseconds(session.created_at),
        session.forked_from,
        session.forked_turn,
        *session_tail(session),
    )


def read_session(row: Row) -> SessionRecord:
    return SessionRecord(
        key=row[0],
        namespace=row[1],
        session_id=row[2],
        chat_id=row[3],
        minted=bool(row[4]),
        opened_by=row[5],
        created_at=from_microseconds(row[6]),
        forked_from=row[7],
        forked_turn=row[8],
        agent=row[9],
        start=Start(ScenarioRef(row[10], row[11], bool(row[12])), row[14], row[13]),
        user_id=row[15],
        head=row[16],
        turn_count=row[17],
        transcript_mode=bool(row[18]),
        metadata_json=row[19],
        changed_bytes=row[20],
        updated_at=from_microseconds(row[21]),
        closed_at=None if row[22] is None else from_microseconds(row[22]),
        version=row[23],
    )


def turn_row(session_key: int, turn: TurnRecord) -> tuple[Any, ...]:
    """A start's scenario is its turn's."""
    start = turn.start
    return (
        session_key,
        turn.number,
        turn.parent,
        _NO_YES[turn.adopted],
        turn.attempt_id,
        turn.idempotency_key,
        bytearray(turn.request_hash),
        bytearray(turn.users_hash),
        bytearray(turn.path_hash),
        turn.completion_id,
        turn.request_id,
        _to_json(turn.messages),
        turn.context_json,
        turn.metadata_json,
        turn.options_json,
        turn.reply,
        turn.confidence,
        turn.evaluation_json,
        int(turn.history),
        None if turn.scenario_applied is None else _NO_YES[turn.scenario_applied],
        turn.prompt_tokens,
        turn.completion_tokens,
        turn.state_json,
        _to_json(turn.tool_calls),
        to_microseconds(turn.created_at),
        turn.duration_us,
        turn.retry_count,
        "" if turn.conversation_hash is None else bytearray(turn.conversation_hash),
        _encode(turn.scenario).decode(),
        "" if start is None else start.scenario_sha,
        "" if start is None else start.seed_sha,
        turn.placed,
        turn.seen_json,
        turn.waited_us,
        turn.ran_us,
        "" if turn.inputs_hash is None else bytearray(turn.inputs_hash),
        turn.reply_metadata_json,
        turn.memory_json,
        _to_json(turn.changes),
    )


def read_turn(row: Row) -> TurnRecord:
    applied = row[19]
    scenario = _decode_scenario(row[28])
    return TurnRecord(
        number=row[1],
        parent=row[2],
        adopted=bool(row[3]),
        attempt_id=row[4],
        idempotency_key=row[5],
        request_hash=row[6],
        users_hash=row[7],
        path_hash=row[8],
        completion_id=row[9],
        request_id=row[10],
        messages=_decode_messages(row[11]),
        context_json=row[12],
        metadata_json=row[13],
        options_json=row[14],
        reply=row[15],
        confidence=row[16],
        evaluation_json=row[17],
        history=History(row[18]),
        scenario_applied=None if applied is None else bool(applied),
        prompt_tokens=row[20],
        completion_tokens=row[21],
        state_json=row[22],
        tool_calls=() if row[23] == "[]" else _decode_tool_calls(row[23]),
        created_at=from_microseconds(row[24]),
        duration_us=row[25],
        retry_count=row[26],
        conversation_hash=row[27] or None,
        scenario=scenario,
        start=Start(scenario, row[29], row[30]) if row[30] or row[29] else None,
        placed=row[31],
        seen_json=row[32],
        waited_us=row[33],
        ran_us=row[34],
        inputs_hash=row[35] or None,
        reply_metadata_json=row[36],
        memory_json=row[37],
        changes=() if row[38] == "[]" else _decode_changes(row[38]),
    )


def user_row(user: UserRecord) -> tuple[Any, ...]:
    return (user.namespace, user.user_id, to_microseconds(user.created_at), user.metadata_json, user.profile_json)


def read_user(row: Row) -> UserRecord:
    return UserRecord(
        namespace=row[0],
        user_id=row[1],
        created_at=from_microseconds(row[2]),
        metadata_json=row[3],
        profile_json=row[4],
    )


def failed_row(failed: FailedTurn) -> tuple[Any, ...]:
    return (
        failed.namespace,
        failed.session_id,
        failed.user_id,
        failed.attempt_id,
        failed.request_id,
        failed.reason,
        failed.detail,
        _to_json(failed.messages),
        _to_json(failed.tool_calls),
        to_microseconds(failed.failed_at),
        failed.duration_us,
    )


def read_failed(row: Row) -> FailedTurn:
    return FailedTurn(
        namespace=row[0],
        session_id=row[1],
        user_id=row[2],
        attempt_id=row[3],
        request_id=row[4],
        reason=row[5],
        detail=row[6],
        messages=_decode_messages(row[7]),
        tool_calls=_decode_tool_calls(row[8]),
        failed_at=from_microseconds(row[9]),
        duration_us=row[10],
    )
