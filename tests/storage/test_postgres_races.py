"""Several processes on one PostgreSQL: whoever comes first, what is stored in the end is one of them after the other."""

import asyncio
from collections.abc import Callable

import msgspec
import psycopg
import pytest
from storage_samples import NAMESPACE, a_session, a_turn, a_user, first, following

from greenroom.core.ports import MissingSession, StaleSession
from greenroom.storage import SqlStore

Two = tuple[SqlStore, SqlStore]

ROUNDS = 60


@pytest.fixture
async def two(postgres_url: str, opened: Callable[..., SqlStore]) -> Two:
    """Two processes' stores."""
    stores = opened(postgres_url), opened(postgres_url)
    for store in stores:
        await store.start()
    return stores


@pytest.mark.parametrize("deletes_first", [True, False])
async def test_a_session_is_never_left_without_the_user_it_was_opened_for(two: Two, deletes_first: bool) -> None:
    opening, deleting = two
    for key in range(1, ROUNDS + 1):
        user = f"user-{key}"
        await opening.put_user(a_user(user))
        # Others in the group, that are to be written whatever happens to this one.
        others = [first(a_session(1000 * key + n)) for n in range(key % 4)]
        commit = first(a_session(key), user_must_exist=True)
        work = [deleting.delete_user(NAMESPACE, user), *map(opening.commit_turn, [*others, commit])]
        outcomes = await asyncio.gather(*(work if deletes_first else work[::-1]), return_exceptions=True)
        gone = outcomes[0] if deletes_first else outcomes[-1]
        answer = outcomes[-1] if deletes_first else outcomes[0]
        if isinstance(answer, MissingSession):
            assert gone == []
        else:
            assert (answer, gone) == (None, [f"session-{key}"])
        assert await deleting.load_session(NAMESPACE, f"session-{key}") is None
        for other in others:
            assert await deleting.load_session(NAMESPACE, other.session.session_id) == other.session


async def test_opening_a_session_waits_for_its_users_deletion_and_is_refused_then(two: Two, postgres_url: str) -> None:
    store, _ = two
    await store.put_user(a_user("user-1"))
    with psycopg.connect(postgres_url) as other:
        other.execute(b"DELETE FROM users")
        opening = asyncio.ensure_future(store.commit_turn(first(a_session(1), user_must_exist=True)))
        await until_waiting(postgres_url, opening)
    with pytest.raises(MissingSession):
        await opening
    assert await store.load_session(NAMESPACE, "session-1") is None


async def test_a_users_deletion_waits_for_a_session_that_is_being_opened_and_takes_it_along(
    two: Two, postgres_url: str
) -> None:
    store, deleting = two
    await store.put_user(a_user("user-1"))
    with psycopg.connect(postgres_url) as other:
        # Keeps the opening from being committed: it has found its user, and waits to insert this session.
        other.execute(
            b"INSERT INTO sessions (key, namespace, session_id, chat_id, user_id, agent, version, head, turn_count,"
            b" transcript_mode, minted, opened_by, metadata, scenario_id, scenario_requested, scenario_found, seed_sha,"
            b" changed_bytes, created_at, updated_at) VALUES"
            b" (1, 'default', 'session-1', 'chat-1', '', '', 1, 0, 0, 'f', 'f', '', '', '', '', 'f', '', 0, 0, 0)"
        )
        opening = asyncio.ensure_future(store.commit_turn(first(a_session(1), user_must_exist=True)))
        await until_waiting(postgres_url, opening)
        deletion = asyncio.ensure_future(deleting.delete_user(NAMESPACE, "user-1"))
        await until_waiting(postgres_url, deletion, 2)
        other.rollback()
    assert await opening is None
    assert await deletion == ["session-1"]
    assert await store.load_session(NAMESPACE, "session-1") is None


async def until_waiting(url: str, task: asyncio.Future[object], count: int = 1) -> None:
    """Until as many of the stores' statements wait for a lock."""
    query = b"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watching:
        while True:
            row = await (await watching.execute(query)).fetchone()
            if row is not None and row[0] >= count:
                return
            assert not task.done(), task


async def test_of_two_that_open_a_session_with_its_turns_one_does_and_whole(two: Two) -> None:
    for key in range(1, ROUNDS + 1):
        turns = [[a_turn(number) for number in range(1, 10)] for _ in two]
        sessions = [a_session(2 * key + side, session_id=f"fork-{key}", head=9) for side in (0, 1)]
        outcomes = await asyncio.gather(
            *(two[side].create_session(sessions[side], a_user("one"), turns[side]) for side in (0, 1)),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StaleSession"]
        won = outcomes.index(None)
        assert await two[0].load_session(NAMESPACE, f"fork-{key}") == sessions[won]
        assert (await two[1].list_turns(sessions[won], 100, "")).items == tuple(turns[won])
        assert (await two[1].list_turns(sessions[1 - won], 100, "")).items == ()


@pytest.mark.parametrize("creating_users", [True, False])
async def test_groups_that_write_the_same_rows_do_not_wait_for_each_other_in_a_circle(
    two: Two, creating_users: bool
) -> None:
    keys = list(range(1, 21))
    await asyncio.gather(*(two[0].commit_turn(first(a_session(key))) for key in keys))
    for number in range(2, ROUNDS):
        work = []
        for store, order in zip(two, (keys, keys[::-1]), strict=True):
            for key in order:
                moved = following(a_session(key, version=number, head=number))
                new_user = a_user(f"{key} {number}") if creating_users else None
                work.append(store.commit_turn(msgspec.structs.replace(moved, new_user=new_user)))
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {type(None), StaleSession}
        assert outcomes.count(None) == len(keys)
