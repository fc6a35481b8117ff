"""Records to store, with something in every field."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from greenroom.core.records import (
    Change,
    FailedTurn,
    History,
    Message,
    ScenarioRef,
    SessionRecord,
    Snapshot,
    Start,
    ToolCallRecord,
    TurnCommit,
    TurnRecord,
    UserRecord,
)

NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
NAMESPACE = "default"
ODD_TEXT = "nul \0, mark \x10, mark and digit \x100 \x101, emoji 🦊, quote ' \" \\ %s ? :x, \u2028 tail "

_numbers = itertools.count(1)


class Clock:
    """Seconds since 1970, at noon until it is moved."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def a_session(key: int, **fields: Any) -> SessionRecord:
    """As after its first turn."""
    defaults: dict[str, Any] = {
        "key": key,
        "namespace": NAMESPACE,
        "session_id": f"session-{key}",
        "chat_id": f"chat-{key}",
        "user_id": f"user-{key}",
        "agent": "support",
        "version": 1,
        "head": 1,
        "turn_count": 1,
        "opened_by": "usertrace",
        "start": Start(ScenarioRef("default"), "scenario", "seed"),
        "created_at": NOON,
        "updated_at": NOON,
    }
    return SessionRecord(**{**defaults, **fields})


def a_full_session(key: int) -> SessionRecord:
    """Nothing at its default."""
    return a_session(
        key,
        session_id=ODD_TEXT,
        chat_id=ODD_TEXT + "chat",
        user_id=ODD_TEXT + "user",
        version=2**40,
        transcript_mode=True,
        minted=True,
        opened_by=ODD_TEXT,
        metadata_json='{"a": 1.0}',
        start=Start(ScenarioRef("late", "laet", True), "scenario of late", "seed of late"),
        forked_from=ODD_TEXT,
        forked_turn=7,
        changed_bytes=2**35,
        updated_at=NOON + timedelta(seconds=1),
        closed_at=NOON + timedelta(microseconds=1),
    )


def a_turn(number: int, **fields: Any) -> TurnRecord:
    defaults: dict[str, Any] = {
        "number": number,
        "parent": number - 1,
        "attempt_id": f"attempt-{next(_numbers)}",
        "users_hash": digest(f"users {number}"),
        "path_hash": digest(f"path {number}"),
        "messages": (Message("user", f"question {number}"),),
        "reply": f"answer {number}",
        "scenario": ScenarioRef("default", "", True),
        "history": History.NEW if number == 1 else History.NEXT,
        "created_at": NOON,
    }
    return TurnRecord(**{**defaults, **fields})


def a_start(number: int, start: Start) -> TurnRecord:
    """A path's first turn."""
    return a_turn(number, parent=0, start=start, scenario=start.scenario)


def a_full_turn(number: int, text: str = ODD_TEXT, **fields: Any) -> TurnRecord:
    """Nothing at its default."""
    change = Change("orders", "12345", '{"status":"open"}', None)
    call = ToolCallRecord("call_1", f"tool {text}", '{"id":1.0}', "null", False, 17, 2**40, (change,), f"rule {text}")
    scenario = ScenarioRef(f"scenario {text}", f"asked {text}", True)
    full: dict[str, Any] = {
        "adopted": True,
        "idempotency_key": f"key {text}",
        "request_hash": bytes(range(256)),
        "retry_count": 2**33,
        "conversation_hash": digest(f"conversation {number}"),
        "inputs_hash": digest(f"inputs {number}"),
        "scenario": scenario,
        "start": Start(scenario, "scenario sha", "seed sha"),
        "completion_id": "chatcmpl-1",
        "request_id": f"request {text}",
        "messages": (
            Message("system", text),
            Message("assistant", None, tool_calls_json='[{"id":"call_1"}]'),
            Message("tool", "42", name="n", tool_call_id="call_1"),
            Message("user", ""),
        ),
        "context_json": '["be kind"]',
        "metadata_json": '{"n": 1.0, "big": 9007199254740993, "e": 1e400}',
        "options_json": '{"temperature": 0.1}',
        "reply": text,
        "confidence": 0.1 + 0.2,
        "evaluation_json": '{"b":1,"a":2,"b":3}',
        "reply_metadata_json": '{"route": "billing", "n": 1.0}',
        "history": History.WENT_BACK,
        "placed": f"why {text}",
        "seen_json": '{"instructions":["be kind"]}',
        "scenario_applied": False,
        "prompt_tokens": 2**40,
        "completion_tokens": 3,
        "state_json": '{"seen":["é"]}',
        "memory_json": '{"new":[{"key":"é"}]}',
        "changes": (change, Change("clock", None, None, '"\\u0000"')),
        "tool_calls": (call, call),
        "duration_us": 2**41,
        "waited_us": 2**42,
        "ran_us": 2**43,
    }
    return a_turn(number, **{**full, **fields})


def a_user(user_id: str, **fields: Any) -> UserRecord:
    defaults: dict[str, Any] = {"namespace": NAMESPACE, "user_id": user_id, "created_at": NOON}
    return UserRecord(**{**defaults, **fields})


def a_failure(session_id: str, **fields: Any) -> FailedTurn:
    defaults: dict[str, Any] = {
        "namespace": NAMESPACE,
        "session_id": session_id,
        "user_id": "user",
        "attempt_id": "attempt",
        "request_id": "request",
        "reason": "TURN_TIMEOUT",
        "detail": "took too long",
        "messages": (Message("user", "hello"),),
        "tool_calls": (ToolCallRecord("call_1", "wait", "{}", "null", True, 1, 2),),
        "failed_at": NOON,
        "duration_us": 60_000_000,
    }
    return FailedTurn(**{**defaults, **fields})


def first(session: SessionRecord, *turns: TurnRecord, **fields: Any) -> TurnCommit:
    """The commit that opens a session."""
    return TurnCommit(session=session, expected_version=None, turns=turns or (a_turn(1),), **fields)


def following(session: SessionRecord, *turns: TurnRecord, snapshot: Snapshot | None = None) -> TurnCommit:
    """The commit after which `session` is as given."""
    turns = turns or (a_turn(session.head),)
    return TurnCommit(session=session, expected_version=session.version - 1, turns=turns, snapshot=snapshot)
