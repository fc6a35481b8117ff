"""Whatever a turn holds comes through protobuf as it was."""

import string
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

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
from greenroom.core.request import Principal, TurnReply
from greenroom.core.rpc import codec
from greenroom.v1 import agent_pb2, session_pb2, turn_pb2, user_pb2

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
WORD = st.text(string.ascii_letters, max_size=6)
JSON = st.sampled_from(["{}", '{"b":1.10,"a":9007199254740993}', '{"ü":"\\u0000\x00","n":-0.0}', '{"k":[null,1e-7]}'])
WHEN = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
COUNT = st.integers(0, 2**62)

MESSAGES = st.lists(st.builds(Message, WORD, st.none() | TEXT, TEXT, JSON | st.just(""), TEXT), max_size=3).map(tuple)
CHANGES = st.lists(st.builds(Change, TEXT, st.none() | TEXT, st.none() | JSON, st.none() | JSON), max_size=3).map(tuple)
CALLS = st.lists(
    st.builds(ToolCallRecord, TEXT, TEXT, JSON, JSON, st.booleans(), COUNT, COUNT, CHANGES), max_size=3
).map(tuple)
TURNS = st.builds(
    TurnRecord,
    number=COUNT,
    parent=COUNT,
    adopted=st.booleans(),
    attempt_id=TEXT,
    users_hash=st.binary(max_size=2),
    path_hash=st.binary(max_size=2),
    completion_id=TEXT,
    request_id=TEXT,
    messages=MESSAGES,
    metadata_json=JSON,
    reply=TEXT,
    confidence=st.none() | st.floats(0, 1),
    evaluation_json=JSON,
    history=st.sampled_from(History),
    scenario=st.builds(ScenarioRef, TEXT, TEXT, st.booleans()),
    scenario_applied=st.none() | st.booleans(),
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    state_json=JSON,
    changes=CHANGES,
    tool_calls=CALLS,
    created_at=WHEN,
    duration_us=COUNT,
)
SCENARIOS = st.builds(ScenarioRef, TEXT, TEXT, st.booleans())
SESSIONS = st.builds(
    SessionRecord,
    key=COUNT,
    namespace=TEXT,
    session_id=TEXT,
    chat_id=TEXT,
    user_id=TEXT,
    agent=TEXT,
    head=COUNT,
    turn_count=COUNT,
    transcript_mode=st.booleans(),
    metadata_json=JSON,
    start=st.builds(Start, SCENARIOS, TEXT, TEXT),
    created_at=WHEN,
    updated_at=WHEN,
    closed_at=st.none() | WHEN,
)


def optional(proto: object, field: str) -> object:
    return getattr(proto, field) if proto.HasField(field) else None  # type: ignore[attr-defined]


def change_of(proto: turn_pb2.Change) -> Change:
    key, before, after = (optional(proto, field) for field in ("key", "before_json", "after_json"))
    return Change(proto.collection, key, before, after)  # type: ignore[arg-type]


def call_of(proto: turn_pb2.ToolCall) -> ToolCallRecord:
    return ToolCallRecord(
        proto.id,
        proto.name,
        proto.arguments_json,
        proto.result_json,
        proto.ok,
        proto.started_us,
        proto.duration_us,
        tuple(change_of(change) for change in proto.changes),
    )


def moment_of(proto: object) -> datetime:
    return proto.ToDatetime(UTC)  # type: ignore[attr-defined, no-any-return]


@given(SESSIONS, TURNS, st.booleans())
def test_a_reply_holds_all_of_its_turn(session: SessionRecord, turn: TurnRecord, replayed: bool) -> None:
    sent = codec.reply_to(TurnReply(session, turn, replayed))
    reply = turn_pb2.Reply.FromString(sent.SerializeToString())
    assert (reply.session_id, reply.chat_id, reply.completion_id) == (
        session.session_id,
        session.chat_id,
        turn.completion_id,
    )
    assert (moment_of(reply.created_at), reply.agent, reply.text) == (turn.created_at, session.agent, turn.reply)
    assert tuple(call_of(call) for call in reply.tool_calls) == turn.tool_calls
    assert (optional(reply, "confidence"), reply.evaluation_json) == (turn.confidence, turn.evaluation_json)
    assert (reply.number, reply.history, reply.replayed, reply.user_id) == (
        turn.number,
        turn.history,
        replayed,
        session.user_id,
    )
    scenario = reply.scenario
    assert ScenarioRef(scenario.id, scenario.requested, scenario.found) == turn.scenario
    assert optional(scenario, "applied") == turn.scenario_applied
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.duration_us) == (
        turn.prompt_tokens,
        turn.completion_tokens,
        turn.duration_us,
    )


@given(SESSIONS, TURNS, st.frozensets(COUNT))
def test_a_turn_read_back_holds_all_that_was_stored(
    session: SessionRecord, turn: TurnRecord, current: frozenset[int]
) -> None:
    sent = codec.turn_to(session, turn, current)
    read = session_pb2.Turn.FromString(sent.SerializeToString())
    assert (read.number, read.parent, read.adopted) == (turn.number, turn.parent, turn.adopted)
    assert read.superseded == (turn.number not in current)
    assert tuple(codec.message_from(message) for message in read.messages) == turn.messages
    assert (read.metadata_json, read.request_id, read.state_json) == (
        turn.metadata_json,
        turn.request_id,
        turn.state_json,
    )
    assert tuple(change_of(change) for change in read.changes) == turn.changes
    assert read.reply == codec.reply_to(TurnReply(session, turn))


@given(SESSIONS)
def test_a_session_holds_all_that_was_stored(session: SessionRecord) -> None:
    read = session_pb2.Session.FromString(codec.session_to(session).SerializeToString())
    assert (read.session_id, read.chat_id, read.user_id, read.agent, read.metadata_json) == (
        session.session_id,
        session.chat_id,
        session.user_id,
        session.agent,
        session.metadata_json,
    )
    assert (read.turn_count, read.head, read.transcript_mode) == (
        session.turn_count,
        session.head,
        session.transcript_mode,
    )
    closed = moment_of(read.closed_at) if read.HasField("closed_at") else None
    assert (moment_of(read.created_at), moment_of(read.updated_at), closed) == (
        session.created_at,
        session.updated_at,
        session.closed_at,
    )


@given(
    st.builds(
        FailedTurn,
        namespace=TEXT,
        session_id=TEXT,
        user_id=TEXT,
        attempt_id=TEXT,
        request_id=TEXT,
        reason=TEXT,
        detail=TEXT,
        messages=MESSAGES,
        tool_calls=CALLS,
        failed_at=WHEN,
        duration_us=COUNT,
    )
)
def test_evidence_holds_all_that_was_kept(failed: FailedTurn) -> None:
    read = session_pb2.FailedTurn.FromString(codec.failed_turn_to(failed).SerializeToString())
    assert (read.reason, read.detail, read.request_id, read.duration_us) == (
        failed.reason,
        failed.detail,
        failed.request_id,
        failed.duration_us,
    )
    assert moment_of(read.failed_at) == failed.failed_at
    assert tuple(codec.message_from(message) for message in read.messages) == failed.messages
    assert tuple(call_of(call) for call in read.tool_calls) == failed.tool_calls


@given(st.builds(UserRecord, TEXT, TEXT, WHEN, JSON, JSON))
def test_a_user_holds_all_that_was_stored(user: UserRecord) -> None:
    read = user_pb2.User.FromString(codec.user_to(user).SerializeToString())
    assert (read.user_id, read.status, read.metadata_json, read.profile_json, moment_of(read.created_at)) == (
        user.user_id,
        "active",
        user.metadata_json,
        user.profile_json,
        user.created_at,
    )


@given(MESSAGES, TEXT, TEXT, JSON, JSON, TEXT, st.booleans(), TEXT, TEXT, st.none() | st.floats(0, 100))
def test_a_request_holds_all_that_was_sent(
    messages: tuple[Message, ...],
    session_id: str,
    user_id: str,
    metadata: str,
    options: str,
    attempt_id: str,
    resent: bool,
    idempotency_key: str,
    request_id: str,
    timeout: float | None,
) -> None:
    sent = agent_pb2.RunTurnRequest(
        messages=[codec.message_to(message) for message in messages],
        session_id=session_id,
        user_id=user_id,
        metadata_json=metadata,
        options_json=options,
        attempt_id=attempt_id,
        resent=resent,
        idempotency_key=idempotency_key,
        request_id=request_id,
    )
    principal = Principal("namespace", "key")
    read = codec.turn_request(agent_pb2.RunTurnRequest.FromString(sent.SerializeToString()), principal, timeout)
    assert (read.messages, read.session_id, read.user_id) == (messages, session_id, user_id)
    assert (read.metadata_json, read.options_json) == (metadata, options)
    assert (read.attempt_id, read.resent, read.idempotency_key, read.request_id) == (
        attempt_id,
        resent,
        idempotency_key,
        request_id,
    )
    assert (read.principal, read.timeout) == (principal, timeout)


def test_the_ways_a_turn_is_placed_have_the_same_numbers_inside_and_outside() -> None:
    outside = {name.removeprefix("HISTORY_"): number for name, number in turn_pb2.History.items() if number}
    assert outside == {placed.name: placed.value for placed in History}
