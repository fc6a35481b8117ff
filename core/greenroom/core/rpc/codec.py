"""Proto ↔ model, both ways, and nowhere else."""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from greenroom.core.records import (
    Change,
    FailedTurn,
    History,
    Message,
    ScenarioRef,
    SessionRecord,
    ToolCallRecord,
    TurnRecord,
    UserRecord,
)
from greenroom.core.request import Principal, TurnReply, TurnRequest
from greenroom.v1 import agent_pb2, session_pb2, turn_pb2, user_pb2


def turn_request(proto: agent_pb2.RunTurnRequest, principal: Principal, timeout: float | None) -> TurnRequest:
    return TurnRequest(
        messages=tuple([message_from(message) for message in proto.messages]),
        session_id=proto.session_id,
        user_id=proto.user_id,
        metadata_json=proto.metadata_json,
        options_json=proto.options_json,
        attempt_id=proto.attempt_id,
        resent=proto.resent,
        idempotency_key=proto.idempotency_key,
        request_id=proto.request_id,
        principal=principal,
        timeout=timeout,
    )


def message_from(proto: turn_pb2.Message) -> Message:
    content = proto.content if proto.HasField("content") else None
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
    )


def scenario_to(scenario: ScenarioRef, applied: bool | None = None) -> turn_pb2.Scenario:
    return turn_pb2.Scenario(id=scenario.id, requested=scenario.requested, found=scenario.found, applied=applied)


_HISTORY: dict[History, turn_pb2.History.ValueType] = {
    History.NEW: turn_pb2.HISTORY_NEW,
    History.NEXT: turn_pb2.HISTORY_NEXT,
    History.CONTINUED: turn_pb2.HISTORY_CONTINUED,
    History.WENT_BACK: turn_pb2.HISTORY_WENT_BACK,
    History.STARTED_OVER: turn_pb2.HISTORY_STARTED_OVER,
    History.ADOPTED: turn_pb2.HISTORY_ADOPTED,
}


def reply_to(reply: TurnReply) -> turn_pb2.Reply:
    return stored_reply_to(reply.session, reply.turn, reply.replayed)


def stored_reply_to(session: SessionRecord, turn: TurnRecord, replayed: bool = False) -> turn_pb2.Reply:
    return turn_pb2.Reply(
        session_id=session.session_id,
        chat_id=session.chat_id,
        completion_id=turn.completion_id,
        created_at=timestamp(turn.created_at),
        agent=session.agent,
        text=turn.reply,
        tool_calls=[tool_call_to(call) for call in turn.tool_calls] if turn.tool_calls else None,
        confidence=turn.confidence,
        evaluation_json=turn.evaluation_json,
        number=turn.number,
        history=_HISTORY[turn.history],
        scenario=scenario_to(session.scenario, turn.scenario_applied),
        usage=turn_pb2.Usage(prompt_tokens=turn.prompt_tokens, completion_tokens=turn.completion_tokens),
        duration_us=turn.duration_us,
        replayed=replayed,
        user_id=session.user_id,
    )


def turn_to(session: SessionRecord, turn: TurnRecord, current: frozenset[int]) -> session_pb2.Turn:
    return session_pb2.Turn(
        number=turn.number,
        parent=turn.parent,
        superseded=turn.number not in current,
        adopted=turn.adopted,
        messages=[message_to(message) for message in turn.messages],
        reply=stored_reply_to(session, turn),
        metadata_json=turn.metadata_json,
        request_id=turn.request_id,
        state_json=turn.state_json,
        changes=changes_to(turn.changes),
    )


def failed_turn_to(failed: FailedTurn) -> session_pb2.FailedTurn:
    return session_pb2.FailedTurn(
        failed_at=timestamp(failed.failed_at),
        reason=failed.reason,
        detail=failed.detail,
        messages=[message_to(message) for message in failed.messages],
        tool_calls=[tool_call_to(call) for call in failed.tool_calls],
        request_id=failed.request_id,
        duration_us=failed.duration_us,
    )


def session_to(session: SessionRecord) -> session_pb2.Session:
    return session_pb2.Session(
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
        scenario=scenario_to(session.scenario),
    )


def user_to(user: UserRecord) -> user_pb2.User:
    return user_pb2.User(
        user_id=user.user_id,
        created_at=timestamp(user.created_at),
        status="active",
        metadata_json=user.metadata_json,
        profile_json=user.profile_json,
    )
