"""What the port promises of what sessions note of their user, on every implementation."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from storage_samples import NAMESPACE, NOON, ODD_TEXT, Clock, a_session, a_turn, a_user, first, following

from greenroom.core.ports import Store
from greenroom.core.records import Remembered, SessionRecord
from greenroom.storage import memories
from greenroom.storage.tables import metadata

ANN = ODD_TEXT + "ann"
DAY = 24 * 3600


def session(key: int, **fields: Any) -> SessionRecord:
    return a_session(key, **{"user_id": ANN, **fields})


async def noted(store: Store, key: int, memory: str, **fields: Any) -> None:
    """A session of one turn that leaves this."""
    at = NOON + timedelta(seconds=key)
    await store.commit_turn(first(session(key, **fields), a_turn(1, memory_json=memory, created_at=at)))


def left(key: int, memory: str, seconds: int = 0) -> Remembered:
    return Remembered(key, f"session-{key}", memory, NOON + timedelta(seconds=seconds or key))


async def test_a_session_is_told_what_its_users_other_sessions_have_noted_newest_first(store: Store) -> None:
    for key in (1, 2, 3):
        await noted(store, key, f"{ODD_TEXT} {key}")
    await noted(store, 4, "bob's", user_id="bob")
    await noted(store, 5, "another agent's", agent="other")
    await noted(store, 6, "another namespace's", namespace="theirs")
    await noted(store, 7, "")
    found = await store.load_memories(session(2), 100)
    assert list(found) == [left(3, f"{ODD_TEXT} 3"), left(1, f"{ODD_TEXT} 1")]
    assert await store.load_memories(session(2, user_id="carol"), 100) in ([], ())


async def test_its_newest_turn_says_what_a_session_has_noted(store: Store) -> None:
    await noted(store, 1, "first")
    later = NOON + timedelta(hours=1)
    await store.commit_turn(
        following(session(1, version=2, head=2, turn_count=2), a_turn(2, memory_json="second", created_at=later))
    )
    await store.commit_turn(
        following(
            session(1, version=3, head=3, turn_count=3), a_turn(3, parent=1, memory_json="other", created_at=later)
        )
    )
    assert list(await store.load_memories(session(9), 100)) == [left(1, "other", 3600)]
    await store.commit_turn(following(session(1, version=4, head=4, turn_count=4), a_turn(4, created_at=later)))
    assert list(await store.load_memories(session(9), 100)) == []


async def test_only_the_newest_sessions_are_looked_at(store: Store) -> None:
    for key in range(1, 6):
        await noted(store, key, "" if key == 4 else str(key))
    assert [one.key for one in await store.load_memories(session(9), 3)] == [5, 3]
    assert [one.key for one in await store.load_memories(session(5), 2)] == [3]


async def test_a_session_opened_ahead_has_noted_nothing(store: Store) -> None:
    await store.create_session(session(1, version=0, head=0, turn_count=0), a_user(ANN))
    assert list(await store.load_memories(session(9), 100)) == []


async def test_what_was_noted_goes_with_its_session_with_its_user_and_with_time(store: Store, clock: Clock) -> None:
    for key in (1, 2, 3):
        await noted(store, key, str(key), updated_at=NOON + timedelta(days=key))
    await store.delete_session(NAMESPACE, "session-2")
    assert [one.key for one in await store.load_memories(session(9), 100)] == [3, 1]
    clock.advance(2 * DAY)
    await store.prune(DAY / 2)
    assert [one.key for one in await store.load_memories(session(9), 100)] == [3]
    await store.put_user(a_user(ANN))
    await store.delete_user(NAMESPACE, ANN)
    assert list(await store.load_memories(session(9), 100)) == []


def test_it_steps_through_indexes_whatever_else_is_stored() -> None:
    asked: list[str] = []
    engine = sa.create_engine("sqlite://")
    sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    with engine.connect() as connection:
        metadata.create_all(connection)
        memories.load_memories(connection, session(1), 200)
        plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {asked[-1].replace('?', '1')}"))
        steps = [row[-1] for row in plan]
    engine.dispose()
    assert any("ix_sessions_namespace_user_id_key (namespace=? AND user_id=?)" in step for step in steps), steps
    assert any("turns USING INDEX" in step for step in steps), steps
