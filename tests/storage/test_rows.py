"""Records and rows, text and what PostgreSQL stores for it: nothing is lost on the way."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storage_samples import NAMESPACE, a_failure, a_full_session, a_full_turn, a_session, a_user, first

from greenroom.core.records import Change, History, Message, SessionRecord, TurnRecord
from greenroom.storage import rows
from greenroom.storage.nul import escape, unescape
from greenroom.storage.opening import open_store
from greenroom.storage.tables import metadata

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MARKED = st.text("\0\x1001a")
TIMES = st.datetimes(timezones=st.timezones()).filter(lambda moment: 1 < moment.year < 9999)
UTC_TIMES = st.datetimes(timezones=st.just(UTC))


@given(TEXT | MARKED)
def test_any_text_survives_escaping(text: str) -> None:
    stored = escape(text)
    assert "\0" not in stored
    assert unescape(stored) == text


@given(MARKED, MARKED)
def test_texts_that_differ_are_stored_differently(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


def test_ordinary_text_is_stored_as_it_is() -> None:
    text = "naïve 🦊 \n\t\x01\x1f"
    assert escape(text) is text


@given(TIMES)
def test_times_are_exact(moment: datetime) -> None:
    assert rows.from_microseconds(rows.to_microseconds(moment)) == moment.astimezone(UTC)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        rows.to_microseconds(datetime(2026, 11, 1))


def turns() -> st.SearchStrategy[TurnRecord]:
    return st.builds(
        a_full_turn,
        st.integers(1, 2**31 - 1),
        TEXT,
        confidence=st.none() | st.floats(0, 1),
        scenario_applied=st.none() | st.booleans(),
        history=st.sampled_from(History),
        messages=st.lists(st.builds(Message, TEXT, st.none() | TEXT, TEXT, TEXT, TEXT)).map(tuple),
        changes=st.lists(st.builds(Change, TEXT, st.none() | TEXT, st.none() | TEXT, st.none() | TEXT)).map(tuple),
        created_at=UTC_TIMES,
        users_hash=st.binary(),
    )


def kept(table: str, columns: Sequence[str], row: Sequence[Any]) -> Sequence[Any]:
    """The row as it comes back from a table."""
    assert len(row) == len(columns)
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine, [metadata.tables[table]])
    names = ", ".join(columns)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", row)
        found: Sequence[Any] = cursor.execute(f"SELECT {names} FROM {table}").fetchone()
    return found


@settings(deadline=None)
@given(turns(), st.integers(0, 2**63 - 1))
def test_a_turn_survives_being_a_row(turn: TurnRecord, key: int) -> None:
    row = rows.turn_row(key, turn)
    assert rows.read_turn(kept("turns", rows.TURN_COLUMNS, row)) == turn


@pytest.mark.parametrize("session", [a_session(1), a_full_session(2)])
def test_a_session_survives_being_a_row(session: SessionRecord) -> None:
    row = rows.session_row(session)
    assert rows.read_session(kept("sessions", rows.SESSION_COLUMNS, row)) == session
    written = dict(zip(rows.SESSION_COLUMNS, row, strict=True)).items()
    assert written >= set(zip(rows.MUTABLE_SESSION_COLUMNS, rows.session_tail(session), strict=True))


def test_a_turns_row_has_only_what_sqlite_takes_without_asking() -> None:
    turn = a_full_turn(1)
    assert {type(value) for value in rows.turn_row(1, turn)} == {int, float, str, bytearray}
    assert {type(value) for value in rows.session_row(a_full_session(1))} == {int, str}


def test_users_and_failures_survive_being_rows() -> None:
    assert rows.read_user(rows.user_row(a_user("u"))) == a_user("u")
    assert rows.read_failed(rows.failed_row(a_failure("s"))) == a_failure("s")


async def test_any_text_survives_a_database(url: str) -> None:
    store = open_store(url)
    await store.start()
    keys = iter(range(1, 10_000))

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(turns(), min_size=1, max_size=3))
    def examples(found: list[TurnRecord]) -> None:
        cases.append(found)

    cases: list[list[TurnRecord]] = []
    examples()
    for case in cases:
        key = next(keys)
        stored = tuple(renumbered(case, key))
        await store.commit_turn(first(a_session(key), *stored))
        assert (await store.list_turns(a_session(key), 10, "")).items == stored
        assert await store.find_attempt(stored[0].attempt_id) == (a_session(key), stored[0])
    assert (await store.list_sessions(NAMESPACE, "", 1, "")).items == (a_session(key),)
    await store.close()


def renumbered(case: list[TurnRecord], key: int) -> list[TurnRecord]:
    return [
        msgspec.structs.replace(turn, number=number, attempt_id=f"{key} {number} {turn.reply}")
        for number, turn in enumerate(case, 1)
    ]
