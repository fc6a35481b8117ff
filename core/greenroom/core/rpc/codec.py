"""Proto ↔ model, both ways, and nowhere else."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp

from greenroom.core.evidence import known_json, noted_json, system_texts, user_json
from greenroom.core.records import (
    Change,
    FailedTurn,
    Message,
    ScenarioRef,
    SessionRecord,
    ToolCallRecord,
    TurnRecord,
    UserRecord,
)
from greenroom.core.request import Principal, TurnReply, TurnRequest, sane_trace
from greenroom.v1 import agent_pb2, session_pb2, turn_pb2, user_pb2


def turn_request(proto: agent_pb2.RunTurnRequest, principal: Principal, timeout: float | None) -> TurnRequest:
    return TurnRequest(
        messages=tuple([message_from(message) for message in proto.messages]),
        session_id=proto.session_id,
        user_id=proto.user_id,
        agent=proto.agent,
        metadata_json=proto.metadata_json,
        options_json=proto.options_json,
        attempt_id=proto.attempt_id,
        resent=proto.resent,
        idempotency_key=proto.idempotency_key,
        request_id=proto.request_id,
        principal=principal,
        timeout=timeout,
        retry_count=proto.retry_count,
        refused_at_us=proto.refused_at_us,
        held_us=proto.held_us,
        traceparent=sane_trace(proto.traceparent),
        transcript=proto.transcript,
    )


def message_from(proto: turn_pb2.Message) -> Message:
    content = proto.content
    if not content and not proto.HasField("content"):
        return Message(proto.role, None, proto.name, proto.tool_calls_json, proto.tool_call_id)
    return Message(proto.role, content, proto.name, proto.tool_calls_json, proto.tool_call_id)


def message_to(message: Message) -> turn_pb2.Message:
    return turn_pb2.Message(
        role=message.role,
        content=message.content,
        name=message.name,
        tool_calls_json=message.tool_calls_json,
        tool_call_id=message.tool_call_id,
    )


def timestamp(moment: datetime) -> Timestamp:
    # FromDatetime takes ten times as long, and a turn needs one
    return Timestamp(seconds=int(moment.timestamp()), nanos=moment.microsecond * 1000)


def change_to(change: Change) -> turn_pb2.Change:
    return turn_pb2.Change(
        collection=change.collection, key=change.key, before_json=change.before, after_json=change.after
    )


def changes_to(changes: Iterable[Change]) -> list[turn_pb2.Change]:
    return [change_to(change) for change in changes]


_CHANGES_SIZE = 512 * 1024


def changes_fit(changes: Iterable[Change]) -> bool:
    """Whether a message may carry these changes beside all else; larger ones are read with the world (GetWorld)."""
    return sum([len(change.before or "") + len(change.after or "") for change in changes]) <= _CHANGES_SIZE


def tool_calls_to(calls: Sequence[ToolCallRecord]) -> list[turn_pb2.ToolCall]:
    """The calls of one turn; without their changes where these are too large together."""
    encoded = [tool_call_to(call) for call in calls]
    changes = [change for call in calls for change in call.changes]
    if changes and not changes_fit(changes):
        for call in encoded:
            call.ClearField("changes")
    return encoded


def tool_call_to(call: ToolCallRecord) -> turn_pb2.ToolCall:
    return turn_pb2.ToolCall(
        id=call.id,
        name=call.name,
        arguments_json=call.arguments_json,
        result_json=call.result_json,
        ok=call.ok,
        started_us=call.started_us,
        duration_us=call.duration_us,
        changes=changes_to(call.changes) if call.changes else None,
        scripted_by=call.scripted_by,
    )


def write_scenario(proto: turn_pb2.Scenario, scenario: ScenarioRef, applied: bool | None = None) -> None:
    proto.id = scenario.id
    proto.requested = scenario.requested
    proto.found = scenario.found
    if applied is not None:
        proto.applied = applied


def reply_to(reply: TurnReply) -> turn_pb2.Reply:
    proto = turn_pb2.Reply()
    write_reply(proto, reply.session, reply.turn, reply.replayed)
    return proto


def write_reply(proto: turn_pb2.Reply, session: SessionRecord, turn: TurnRecord, replayed: bool = False) -> None:
    """Fills a reply in where it is to stand: handing a message to another one copies it."""
    proto.session_id = session.session_id
    proto.chat_id = session.chat_id
    proto.completion_id = turn.completion_id
    created = proto.created_at
    created.seconds = int(turn.created_at.timestamp())
    created.nanos = turn.created_at.microsecond * 1000
    proto.agent = session.agent
    proto.text = turn.reply
    if turn.tool_calls:
        proto.tool_calls.extend(tool_calls_to(turn.tool_calls))
    if turn.confidence is not None:
        proto.confidence = turn.confidence
    proto.evaluation_json = turn.evaluation_json
    if turn.reply_metadata_json != "{}":
        proto.metadata_json = turn.reply_metadata_json
    proto.number = turn.number
    proto.history = cast("turn_pb2.History.ValueType", turn.history)  # the same numbers; a test holds them together
    write_scenario(proto.scenario, turn.scenario, turn.scenario_applied)
    proto.usage.prompt_tokens = turn.prompt_tokens
    proto.usage.completion_tokens = turn.completion_tokens
    proto.duration_us = turn.duration_us
    proto.replayed = replayed
    proto.user_id = session.user_id


def turn_to(session: SessionRecord, turn: TurnRecord, current: frozenset[int]) -> session_pb2.Turn:
    proto = session_pb2.Turn(
        number=turn.number,
        parent=turn.parent,
        superseded=turn.number not in current,
        adopted=turn.adopted,
        messages=[message_to(message) for message in turn.messages],
        metadata_json=turn.metadata_json,
        request_id=turn.request_id,
        state_json=turn.state_json,
        changes=changes_to(turn.changes) if changes_fit(turn.changes) else None,
        placed=turn.placed,
        system=system_texts(turn),
        user_json=user_json(turn),
        options_json=turn.options_json,
        waited_us=turn.waited_us,
        ran_us=turn.ran_us,
        retry_count=turn.retry_count,
        known_json=known_json(turn),
        noted_json=noted_json(turn),
    )
    write_reply(proto.reply, session, turn)
    return proto


def failed_turn_to(failed: FailedTurn) -> session_pb2.FailedTurn:
    return session_pb2.FailedTurn(
        failed_at=timestamp(failed.failed_at),
        reason=failed.reason,
        detail=failed.detail,
        messages=[message_to(message) for message in failed.messages],
        tool_calls=tool_calls_to(failed.tool_calls),
        request_id=failed.request_id,
        duration_us=failed.duration_us,
    )


def session_to(session: SessionRecord) -> session_pb2.Session:
    proto = session_pb2.Session(
        session_id=session.session_id,
        chat_id=session.chat_id,
        user_id=session.user_id,
        agent=session.agent,
        created_at=timestamp(session.created_at),
        updated_at=timestamp(session.updated_at),
        closed_at=timestamp(session.closed_at) if session.closed_at else None,
        turn_count=session.turn_count,
        head=session.head,
        transcript_mode=session.transcript_mode,
        metadata_json=session.metadata_json,
    )
    write_scenario(proto.scenario, session.start.scenario)
    if session.forked_from:
        proto.origin.session_id = session.forked_from
        proto.origin.turn = session.forked_turn
    return proto


def user_to(user: UserRecord) -> user_pb2.User:
    return user_pb2.User(
        user_id=user.user_id,
        created_at=timestamp(user.created_at),
        status="active",
        metadata_json=user.metadata_json,
        profile_json=user.profile_json,
    )
