"""What the port promises of turns, on every implementation."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from storage_samples import (
    NAMESPACE,
    NOON,
    ODD_TEXT,
    Clock,
    a_full_session,
    a_full_turn,
    a_session,
    a_start,
    a_turn,
    a_user,
    first,
    following,
)

from greenroom.core.ports import DuplicateAttempt, MissingSession, StaleSession, Store
from greenroom.core.records import Path, ScenarioRef, Snapshot, Start, TurnCommit, TurnRecord


async def all_turns(store: Store, key: int) -> tuple[TurnRecord, ...]:
    return (await store.list_turns(a_session(key), 1000, "")).items


async def test_a_committed_turn_comes_back_as_it_was(store: Store) -> None:
    session = a_full_session(2**62)
    turn = a_full_turn(1, parent=0)
    await store.commit_turn(first(session, turn, snapshot=Snapshot(7, '{"a":"\\u0000"}')))

    assert await store.load_session(NAMESPACE, ODD_TEXT) == session
    assert await store.find_chat(NAMESPACE, ODD_TEXT + "chat") == session
    assert await store.load_turn(session, 1) == turn
    assert await store.load_path(session, 1) == Path((turn,))
    assert await store.find_attempt(turn.attempt_id) == (session, turn)
    assert (await store.list_turns(session, 10, "")).items == (turn,)


async def test_times_are_kept_to_the_microsecond_in_any_zone(store: Store) -> None:
    early = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    late = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5)))
    await store.commit_turn(first(a_session(1, created_at=early, updated_at=late), a_turn(1, created_at=late)))
    session = await store.load_session(NAMESPACE, "session-1")
    assert session is not None
    assert (session.created_at, session.updated_at) == (early, late)


async def test_the_first_turn_brings_its_user_and_leaves_one_that_is_known(store: Store) -> None:
    known = await store.put_user(a_user("user-1", profile_json='{"tier":"gold"}'))
    await store.commit_turn(first(a_session(1), new_user=a_user("user-1")))
    await store.commit_turn(first(a_session(2), new_user=a_user("user-2")))
    assert await store.load_user(NAMESPACE, "user-1") == known
    assert await store.load_user(NAMESPACE, "user-2") == a_user("user-2")


async def test_a_session_for_a_known_user_is_not_opened_once_the_user_is_gone(store: Store) -> None:
    await store.put_user(a_user(ODD_TEXT))
    opening = first(a_session(1, user_id=ODD_TEXT), user_must_exist=True)
    await store.commit_turn(opening)
    await store.delete_user(NAMESPACE, ODD_TEXT)
    with pytest.raises(MissingSession):
        await store.commit_turn(opening)
    assert await store.load_session(NAMESPACE, "session-1") is None
    assert await store.load_user(NAMESPACE, ODD_TEXT) is None
    await store.put_user(a_user(ODD_TEXT, namespace="theirs"))
    with pytest.raises(MissingSession):
        await store.commit_turn(opening)


async def test_of_sessions_opened_together_only_those_without_their_user_are_refused(store: Store) -> None:
    for number in (1, 2, 3, 5):
        await store.put_user(a_user(f"user-{number}"))
    needing = [first(a_session(key, user_id=f"user-{1 + key % 5}"), user_must_exist=True) for key in range(1, 31)]
    needless = [first(a_session(key, user_id="user-4")) for key in range(31, 41)]
    outcomes = await asyncio.gather(*map(store.commit_turn, [*needing, *needless]), return_exceptions=True)
    refused = {commit.session.key for commit in needing if commit.session.user_id == "user-4"}
    for key, outcome in enumerate(outcomes, 1):
        assert type(outcome) is (MissingSession if key in refused else type(None))
    stored = (await store.list_sessions(NAMESPACE, "", 100, "")).items
    assert {session.key for session in stored} == set(range(1, 41)) - refused


async def test_a_user_may_come_with_the_turn_before(store: Store) -> None:
    outcomes = await asyncio.gather(
        store.commit_turn(first(a_session(1, user_id="new"), new_user=a_user("new"))),
        store.commit_turn(first(a_session(2, user_id="new"), user_must_exist=True)),
    )
    assert outcomes == [None, None]


async def test_a_commit_moves_the_session_on(store: Store) -> None:
    await store.commit_turn(first(a_session(1, user_id="", turn_count=1)))
    moved = a_session(
        1,
        user_id="user-1",
        version=2,
        head=2,
        turn_count=2,
        transcript_mode=True,
        metadata_json='{"x":1}',
        start=Start(ScenarioRef("other", "other", True), "another", "yet another"),
        changed_bytes=5,
        updated_at=NOON + timedelta(minutes=1),
    )
    await store.commit_turn(following(moved, a_start(2, moved.start)))
    assert await store.load_session(NAMESPACE, "session-1") == moved
    assert (await store.list_sessions(NAMESPACE, "user-1", 10, "")).items == (moved,)


async def test_sessions_that_go_on_together_keep_their_starts_and_one_that_starts_over_has_its_new_one(
    store: Store,
) -> None:
    for key in range(1, 9):
        start = Start(ScenarioRef(f"scenario {key}"), f"sha {key}", f"seed {key}")
        await store.commit_turn(first(a_session(key, start=start), a_start(1, start)))
    over = Start(ScenarioRef("over", "over", True), "sha of over", "seed of over")
    moves = []
    for key in range(1, 9):
        before = await store.load_session(NAMESPACE, f"session-{key}")
        assert before is not None
        start = over if key == 5 else before.start
        moved = msgspec.structs.replace(before, version=2, head=2, turn_count=2, start=start)
        moves.append(following(moved, a_start(2, over) if key == 5 else a_turn(2)))
    await asyncio.gather(*map(store.commit_turn, moves))
    for move in moves:
        assert await store.load_session(NAMESPACE, move.session.session_id) == move.session
        assert (await store.load_path(move.session, 2)).turns[-1] == move.turns[0]


async def test_a_commit_for_a_version_that_is_past_writes_nothing(store: Store) -> None:
    await store.commit_turn(first(a_session(1)))
    await store.commit_turn(following(a_session(1, version=2, head=2)))
    before = await all_turns(store, 1)
    for number in (2, 3):
        late = TurnCommit(session=a_session(1, version=2, head=number), expected_version=1, turns=(a_turn(number),))
        with pytest.raises(StaleSession):
            await store.commit_turn(late)
    session = await store.load_session(NAMESPACE, "session-1")
    assert session == a_session(1, version=2, head=2)
    assert await all_turns(store, 1) == before


async def test_opening_a_session_that_exists_is_stale(store: Store) -> None:
    await store.commit_turn(first(a_session(1)))
    for taken in (
        a_session(2, session_id="session-1"),
        a_session(3, chat_id="chat-1"),
        a_session(1, session_id="other", chat_id="other"),
    ):
        with pytest.raises(StaleSession):
            await store.commit_turn(first(taken, new_user=a_user(f"user of {taken.key}")))
    assert (await store.list_sessions(NAMESPACE, "", 10, "")).items == (a_session(1),)
    assert (await store.list_users(NAMESPACE, 10, "")).items == ()


async def test_a_commit_to_a_session_that_is_gone_says_so(store: Store) -> None:
    await store.commit_turn(first(a_session(1)))
    await store.delete_session(NAMESPACE, "session-1")
    with pytest.raises(MissingSession):
        await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await all_turns(store, 1) == ()


async def test_an_attempt_is_committed_once_whatever_the_version_says(store: Store) -> None:
    opening = first(a_session(1))
    await store.commit_turn(opening)
    with pytest.raises(DuplicateAttempt):
        await store.commit_turn(opening)
    again = following(a_session(1, version=2, head=2), a_turn(2))
    await store.commit_turn(again)
    with pytest.raises(DuplicateAttempt):
        await store.commit_turn(again)
    repeated = msgspec.structs.replace(again.turns[0], number=3, parent=2)
    with pytest.raises(DuplicateAttempt):
        await store.commit_turn(following(a_session(1, version=3, head=3), repeated))
    assert [turn.number for turn in await all_turns(store, 1)] == [1, 2]
    assert await store.load_session(NAMESPACE, "session-1") == again.session


async def test_adopted_turns_and_their_turn_are_one_write(store: Store) -> None:
    await store.commit_turn(first(a_session(1), a_turn(1, attempt_id="taken")))
    adopted = (a_turn(1, adopted=True), a_turn(2, adopted=True), a_turn(3))
    with pytest.raises(DuplicateAttempt):
        await store.commit_turn(first(a_session(2, head=3), *adopted, a_turn(4, attempt_id="taken")))
    assert await store.load_session(NAMESPACE, "session-2") is None
    await store.commit_turn(first(a_session(2, head=3, turn_count=3), *adopted))
    assert await all_turns(store, 2) == adopted


async def test_one_bad_commit_takes_no_other_with_it(store: Store) -> None:
    await store.commit_turn(first(a_session(100), a_turn(1, attempt_id="stored")))
    commits = [first(a_session(key)) for key in range(1, 21)]
    bad = [
        first(a_session(101), a_turn(1, attempt_id="stored")),
        following(a_session(102, version=2, head=2)),
        first(a_session(103, session_id="session-100")),
    ]
    mixed = [*commits[:7], *bad, *commits[7:]]
    outcomes = await asyncio.gather(*map(store.commit_turn, mixed), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[7:10]] == [DuplicateAttempt, MissingSession, StaleSession]
    assert [outcome for outcome in outcomes if outcome is not None] == outcomes[7:10]
    stored = (await store.list_sessions(NAMESPACE, "", 100, "")).items
    assert {session.key for session in stored} == {100, *range(1, 21)}


async def test_of_many_commits_for_one_version_exactly_one_wins(store: Store) -> None:
    await store.commit_turn(first(a_session(1)))
    rivals = [following(a_session(1, version=2, head=2), a_turn(2, reply=f"{n}")) for n in range(10)]
    outcomes = await asyncio.gather(*map(store.commit_turn, rivals), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(StaleSession) == 9
    winner = rivals[outcomes.index(None)]
    assert await store.load_turn(a_session(1), 2) == winner.turns[0]


async def test_cancelling_does_not_withdraw_a_commit(store: Store) -> None:
    task = asyncio.create_task(store.commit_turn(first(a_session(1))))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.commit_turn(first(a_session(2)))
    assert await store.load_session(NAMESPACE, "session-1") == a_session(1)


async def test_a_path_leads_from_a_start_to_its_turn(store: Store) -> None:
    #  1 ─ 2 ─ 3      5 (started over) ─ 6
    #      └── 4
    parents = {1: 0, 2: 1, 3: 2, 4: 2, 5: 0, 6: 5}
    turns = {number: a_full_turn(number, parent=parent) for number, parent in parents.items()}
    session = a_session(1, head=6, turn_count=6)
    await store.commit_turn(first(session, *turns.values()))
    await store.commit_turn(first(a_session(2), a_turn(1)))

    async def path(number: int) -> list[int]:
        return [turn.number for turn in (await store.load_path(session, number)).turns]

    assert await path(0) == []
    assert await path(3) == [1, 2, 3]
    assert await path(4) == [1, 2, 4]
    assert await path(6) == [5, 6]
    assert await path(7) == []
    assert (await store.load_path(session, 4)).turns == (turns[1], turns[2], turns[4])
    assert await store.path_numbers(session) == {5, 6}
    assert await store.path_numbers(a_session(1, head=4)) == {1, 2, 4}


async def test_a_path_has_its_newest_snapshot_and_only_the_changes_after_it(store: Store) -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 2}
    turns = {number: a_full_turn(number, parent=parent) for number, parent in parents.items()}
    await store.commit_turn(first(a_session(1), turns[1], snapshot=Snapshot(1, "{}")))
    for version, number, snapshot in ((2, 2, '{"two":2}'), (3, 3, None), (4, 4, '{"four":4}')):
        moved = a_session(1, version=version, head=number)
        kept = None if snapshot is None else Snapshot(number, snapshot)
        await store.commit_turn(following(moved, turns[number], snapshot=kept))
    session = a_session(1)

    def bare(number: int) -> TurnRecord:
        return msgspec.structs.replace(turns[number], changes=())

    assert await store.load_path(session, 1) == Path((bare(1),), Snapshot(1, "{}"))
    assert await store.load_path(session, 3) == Path((bare(1), bare(2), turns[3]), Snapshot(2, '{"two":2}'))
    assert await store.load_path(session, 4) == Path((bare(1), bare(2), bare(4)), Snapshot(4, '{"four":4}'))
    assert (await store.list_turns(session, 10, "")).items == tuple(turns.values())


async def test_an_idempotency_key_finds_its_turn_for_a_day_and_in_its_session(store: Store) -> None:
    turn = a_turn(1, idempotency_key="key")
    session = a_session(1)
    await store.commit_turn(first(session, turn))
    await store.commit_turn(first(a_session(2), a_turn(1)))
    assert await store.find_idempotent(NAMESPACE, "session-1", "key") == (session, turn)
    assert await store.find_idempotent(NAMESPACE, "", "key") == (session, turn)
    for namespace, session_id, key in (
        ("other", "", "key"),
        (NAMESPACE, "session-2", "key"),
        (NAMESPACE, "", "KEY"),
        (NAMESPACE, "", ""),
    ):
        assert await store.find_idempotent(namespace, session_id, key) is None


async def test_an_idempotency_key_is_forgotten_after_a_day(store: Store, clock: Clock) -> None:
    await store.commit_turn(first(a_session(1), a_turn(1, idempotency_key="key")))
    clock.advance(24 * 3600 - 1)
    assert await store.find_idempotent(NAMESPACE, "", "key") is not None
    clock.advance(2)
    assert await store.find_idempotent(NAMESPACE, "", "key") is None


async def test_turns_are_listed_in_commit_order_page_by_page(store: Store) -> None:
    turns = tuple(a_turn(number) for number in range(1, 8))
    session = a_session(1)
    await store.commit_turn(first(session, *turns))
    seen: list[TurnRecord] = []
    token = ""
    pages = 0
    while pages == 0 or token:
        page = await store.list_turns(session, 3, token)
        seen += page.items
        token = page.next_token
        pages += 1
    assert tuple(seen) == turns
    assert pages == 3
    assert await store.load_turn(session, 8) is None
