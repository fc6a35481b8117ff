"""What the port promises of sessions, users and starting worlds, on every implementation."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from storage_samples import (
    NAMESPACE,
    NOON,
    ODD_TEXT,
    Clock,
    a_failure,
    a_full_turn,
    a_session,
    a_start,
    a_turn,
    a_user,
    digest,
    first,
    following,
)

from greenroom.core.errors import InvalidRequest
from greenroom.core.ports import DuplicateAttempt, MissingSession, StaleSession, Store
from greenroom.core.records import Path, ScenarioRef, SessionRecord, Snapshot, Start, UserRecord

DAY = 24 * 3600


def empty(key: int, **fields: object) -> SessionRecord:
    return a_session(key, version=0, head=0, turn_count=0, **fields)


async def test_a_session_can_be_opened_ahead_of_its_first_turn(store: Store) -> None:
    await store.create_session(empty(1), a_user("user-1"))
    assert await store.load_session(NAMESPACE, "session-1") == empty(1)
    assert await store.load_user(NAMESPACE, "user-1") == a_user("user-1")
    assert await store.load_path(empty(1), 0) == Path(())
    assert await store.path_numbers(empty(1)) == frozenset()
    await store.commit_turn(following(a_session(1)))
    assert await store.load_session(NAMESPACE, "session-1") == a_session(1)


async def test_opening_a_session_twice_is_stale(store: Store) -> None:
    await store.create_session(empty(1), None)
    with pytest.raises(StaleSession):
        await store.create_session(empty(2, session_id="session-1"), a_user("nobody"))
    assert await store.load_user(NAMESPACE, "nobody") is None


async def test_a_fork_is_a_session_with_its_turns(store: Store) -> None:
    await store.commit_turn(first(a_session(9)))
    fork = a_session(1, head=150, turn_count=150, forked_from="session-9", forked_turn=150)
    turns = tuple(a_full_turn(number, adopted=False) for number in range(1, 151))
    await store.create_session(fork, a_user("user-1"), turns)
    assert await store.load_session(NAMESPACE, "session-1") == fork
    assert await store.load_user(NAMESPACE, "user-1") == a_user("user-1")
    assert (await store.list_turns(fork, 1000, "")).items == turns
    assert await store.load_path(fork, 150, whole=True) == Path(turns)
    assert await store.find_attempt(turns[149].attempt_id) == (fork, turns[149])
    await store.commit_turn(following(a_session(1, version=2, head=151)))


async def test_a_fork_that_cannot_be_opened_leaves_nothing(store: Store) -> None:
    taken = a_turn(1)
    await store.commit_turn(first(a_session(1), taken))
    with pytest.raises(StaleSession):
        await store.create_session(a_session(2, chat_id="chat-1"), a_user("nobody"), (a_turn(1), a_turn(2)))
    with pytest.raises(DuplicateAttempt):
        await store.create_session(a_session(2), a_user("nobody"), (a_turn(1), taken))
    assert (await store.list_sessions(NAMESPACE, "", 10, "")).items == (a_session(1),)
    assert (await store.list_turns(a_session(2), 10, "")).items == ()
    assert await store.load_user(NAMESPACE, "nobody") is None


async def test_of_many_that_open_one_session_ahead_exactly_one_does(store: Store) -> None:
    rivals = [(a_session(key, session_id="one"), (a_turn(1), a_turn(2))) for key in range(1, 11)]
    openings = [store.create_session(session, None, turns) for session, turns in rivals]
    outcomes = await asyncio.gather(*openings, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(StaleSession) == 9
    winner, turns = rivals[outcomes.index(None)]
    assert await store.load_session(NAMESPACE, "one") == winner
    assert (await store.list_turns(winner, 10, "")).items == turns


async def test_closing_is_a_write_like_any_other(store: Store) -> None:
    await store.commit_turn(first(a_session(1)))
    closed = a_session(1, version=2, closed_at=NOON, updated_at=NOON + timedelta(hours=1))
    await store.close_session(closed)
    assert await store.load_session(NAMESPACE, "session-1") == closed
    with pytest.raises(StaleSession):
        await store.close_session(closed)
    with pytest.raises(StaleSession):
        await store.commit_turn(following(a_session(1, version=2, head=2)))
    with pytest.raises(MissingSession):
        await store.close_session(a_session(9, version=2))


async def test_ids_are_compared_exactly(store: Store) -> None:
    ids = ["a", "A", "a ", " a", "á", "a\u0301", "a\0", "a\x100", "a%", "A_", ODD_TEXT]
    for key, name in enumerate(ids, 1):
        await store.commit_turn(first(a_session(key, session_id=name, chat_id=name), new_user=a_user(name)))
    for key, name in enumerate(ids, 1):
        session = await store.load_session(NAMESPACE, name)
        assert session is not None
        assert session.key == key
        assert await store.find_chat(NAMESPACE, name) == session
        assert await store.load_user(NAMESPACE, name) == a_user(name)
    assert await store.load_session(NAMESPACE, "b") is None


async def test_a_namespace_sees_nothing_of_another(store: Store) -> None:
    theirs = a_session(1, namespace="theirs")
    mine = a_session(2, session_id="session-1", chat_id="chat-1", user_id="user-1")
    await store.commit_turn(first(theirs, new_user=a_user("user-1", namespace="theirs")))
    await store.commit_turn(first(mine, new_user=a_user("user-1")))
    assert await store.load_session(NAMESPACE, "session-1") == mine
    assert await store.find_chat("theirs", "chat-1") == theirs
    assert (await store.list_sessions(NAMESPACE, "", 10, "")).items == (mine,)
    assert (await store.list_users("theirs", 10, "")).items == (a_user("user-1", namespace="theirs"),)
    assert await store.delete_user(NAMESPACE, "user-1") == ["session-1"]
    assert await store.load_session("theirs", "session-1") == theirs


async def test_sessions_are_listed_newest_first_page_by_page(store: Store) -> None:
    keys = [2**62 + n for n in (3, 1, 4, 5, 9, 2, 6)]
    for key in keys:
        await store.commit_turn(first(a_session(key, user_id="ab"[key % 2])))
    for user_id, expected in (
        ("", sorted(keys, reverse=True)),
        ("a", sorted((key for key in keys if key % 2 == 0), reverse=True)),
        ("nobody", []),
    ):
        seen: list[int] = []
        page = await store.list_sessions(NAMESPACE, user_id, 2, "")
        while True:
            assert len(page.items) <= 2
            seen += [session.key for session in page.items]
            if not page.next_token:
                break
            page = await store.list_sessions(NAMESPACE, user_id, 2, page.next_token)
        assert seen == expected


async def test_a_full_last_page_is_the_last(store: Store) -> None:
    for key in (1, 2):
        await store.commit_turn(first(a_session(key)))
    assert (await store.list_sessions(NAMESPACE, "", 2, "")).next_token == ""


@pytest.mark.parametrize("token", ["x", "é", "MTIz=", "-1", "=", "\0", "0x1", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ"])
async def test_a_malformed_page_token_is_the_callers_mistake(store: Store, token: str) -> None:
    for listing in (
        store.list_sessions(NAMESPACE, "", 10, token),
        store.list_turns(a_session(1), 10, token),
        store.list_users(NAMESPACE, 10, token),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await listing
        assert caught.value.field == "page_token"


async def test_a_deleted_session_leaves_nothing_and_its_id_is_free(store: Store) -> None:
    turn = a_turn(1, idempotency_key="key")
    await store.commit_turn(first(a_session(1), turn, snapshot=Snapshot(1, "{}")))
    await store.commit_turn(first(a_session(2)))
    await store.record_failure(a_failure("session-1"))
    assert await store.delete_session(NAMESPACE, "session-1")
    assert not await store.delete_session(NAMESPACE, "session-1")

    assert await store.load_session(NAMESPACE, "session-1") is None
    assert await store.find_chat(NAMESPACE, "chat-1") is None
    assert await store.find_attempt(turn.attempt_id) is None
    assert await store.find_idempotent(NAMESPACE, "", "key") is None
    assert await store.load_turn(a_session(1), 1) is None
    assert await store.load_path(a_session(1), 1) == Path(())
    assert list(await store.find_candidates(a_session(1), [(digest("users 1"), b"")])) == []
    assert list(await store.list_failures(NAMESPACE, "session-1")) == []
    assert await store.load_session(NAMESPACE, "session-2") == a_session(2)
    await store.commit_turn(first(a_session(3, session_id="session-1", chat_id="chat-1"), turn))


async def test_failed_attempts_are_kept_oldest_first_the_newest_hundred(store: Store) -> None:
    failures = [a_failure("session-1", detail=f"{n} {ODD_TEXT}") for n in range(103)]
    for failure in failures:
        await store.record_failure(failure)
    await store.record_failure(a_failure("session-2"))
    assert list(await store.list_failures(NAMESPACE, "session-1")) == failures[3:]
    assert list(await store.list_failures("other", "session-1")) == []


async def test_idle_sessions_are_pruned_with_all_that_is_theirs(store: Store, clock: Clock) -> None:
    for key in range(1, 121):
        await store.commit_turn(first(a_session(key)))
    await store.record_failure(a_failure("session-1", failed_at=NOON + timedelta(days=5)))
    later = NOON + timedelta(days=5)
    await store.commit_turn(following(a_session(120, version=2, head=2, updated_at=later)))
    clock.advance(6 * DAY)
    assert await store.prune(2 * DAY) == 119
    assert [session.key for session in (await store.list_sessions(NAMESPACE, "", 10, "")).items] == [120]
    assert list(await store.list_failures(NAMESPACE, "session-1")) == []
    assert await store.prune(2 * DAY) == 0


async def test_old_failed_attempts_are_pruned(store: Store, clock: Clock) -> None:
    new = a_failure("session-1", failed_at=NOON + timedelta(days=3))
    await store.record_failure(a_failure("session-1"))
    await store.record_failure(new)
    clock.advance(4 * DAY)
    await store.prune(2 * DAY)
    assert list(await store.list_failures(NAMESPACE, "session-1")) == [new]


async def test_a_starting_world_is_stored_once_under_its_hash(store: Store) -> None:
    await store.put_seed("sha", '{"orders": {"\\u0000": 1.0}}')
    await store.put_seed("sha", '{"orders": {"\\u0000": 1.0}}')
    assert await store.load_seed("sha") == '{"orders": {"\\u0000": 1.0}}'
    assert await store.load_seed("other") is None


async def test_a_starting_world_goes_when_no_session_has_it_any_more(store: Store, clock: Clock) -> None:
    for sha in ("used", "unused"):
        await store.put_seed(sha, "{}")
    await store.commit_turn(
        first(a_session(1, start=Start(ScenarioRef("default"), "", "used"), updated_at=NOON + timedelta(days=9)))
    )
    clock.advance(DAY / 2)
    await store.put_seed("young", "{}")
    clock.advance(DAY * 3 / 4)
    await store.prune(3600)
    assert [await store.load_seed(sha) for sha in ("used", "unused", "young")] == ["{}", None, "{}"]


async def test_a_superseded_start_keeps_its_world_and_scenario(store: Store, clock: Clock) -> None:
    old, new = (Start(ScenarioRef(name), f"scenario of {name}", f"seed of {name}") for name in ("old", "new"))
    for sha in (old.scenario_sha, old.seed_sha, new.scenario_sha, new.seed_sha, "unused"):
        await store.put_seed(sha, "{}")
    later = NOON + timedelta(days=9)
    await store.commit_turn(first(a_session(1, start=old), a_start(1, old)))
    moved = a_session(1, version=2, head=2, start=new, updated_at=later)
    await store.commit_turn(following(moved, a_start(2, new)))
    await store.commit_turn(following(a_session(1, version=3, head=3, start=new, updated_at=later), a_turn(3)))
    clock.advance(2 * DAY)
    await store.prune(3600)
    for sha in (old.scenario_sha, old.seed_sha, new.scenario_sha, new.seed_sha):
        assert await store.load_seed(sha) == "{}"
    assert await store.load_seed("unused") is None

    await store.delete_session(NAMESPACE, "session-1")
    await store.prune(3600)
    for sha in (old.scenario_sha, old.seed_sha, new.scenario_sha, new.seed_sha):
        assert await store.load_seed(sha) is None


async def test_a_session_without_turns_keeps_its_world_and_scenario(store: Store, clock: Clock) -> None:
    for sha in ("seed", "scenario"):
        await store.put_seed(sha, "{}")
    await store.create_session(empty(1, updated_at=NOON + timedelta(days=9)), None)
    clock.advance(2 * DAY)
    await store.prune(3600)
    assert [await store.load_seed(sha) for sha in ("seed", "scenario")] == ["{}", "{}"]


async def test_a_user_put_again_keeps_its_first_day_and_gets_the_new_profile(store: Store) -> None:
    old = a_user(ODD_TEXT, metadata_json='{"a":1}', profile_json='{"tier":"gold"}')
    assert await store.put_user(old) == old
    new = a_user(ODD_TEXT, created_at=NOON + timedelta(days=1), metadata_json="{}", profile_json='{"tier":1.0}')
    stored = msgspec.structs.replace(new, created_at=NOON)
    assert await store.put_user(new) == stored
    assert await store.load_user(NAMESPACE, ODD_TEXT) == stored


async def test_users_are_listed_newest_first_page_by_page(store: Store) -> None:
    users = [a_user(name) for name in "caebd"]
    for user in users:
        await store.put_user(user)
    await store.put_user(a_user("c"))
    seen: list[UserRecord] = []
    page = await store.list_users(NAMESPACE, 2, "")
    while page.next_token:
        seen += page.items
        page = await store.list_users(NAMESPACE, 2, page.next_token)
    assert [*seen, *page.items] == users[::-1]


async def test_a_deleted_user_takes_its_sessions_and_failed_attempts_along(store: Store) -> None:
    await store.put_user(a_user("a"))
    for key, user_id in ((1, "a"), (2, "b"), (3, "a")):
        await store.commit_turn(first(a_session(key, user_id=user_id)))
    await store.record_failure(a_failure("never opened", user_id="a"))
    assert list(await store.delete_user(NAMESPACE, "a") or ()) == ["session-1", "session-3"]
    assert await store.delete_user(NAMESPACE, "a") is None
    assert await store.load_user(NAMESPACE, "a") is None
    assert (await store.list_sessions(NAMESPACE, "", 10, "")).items == (a_session(2, user_id="b"),)
    assert list(await store.list_failures(NAMESPACE, "never opened")) == []


async def test_a_store_that_works_is_healthy(store: Store) -> None:
    assert (await store.health()).status == "healthy"
    await store.commit_turn(first(a_session(1)))
    assert (await store.health()).status == "healthy"


async def test_closing_twice_is_closing_once(store: Store) -> None:
    await store.close()
    await store.close()
