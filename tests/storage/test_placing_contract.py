"""What the port promises to those who ask where a request stands, on every implementation."""

import msgspec
import pytest
from storage_samples import NAMESPACE, a_full_turn, a_session, a_turn, digest, first, following

from greenroom.core.ports import Store
from greenroom.core.records import Candidate, Conversation, Path, Snapshot, TurnRecord

BRANCHES = {1: "aA", 2: "bB", 3: "aA", 4: "aC", 5: "bB", 6: "cC"}
"""Turns by what was said (small) and replied."""


def hashes(branch: str) -> tuple[bytes, bytes]:
    """As of a path: other user texts, other hash of the path."""
    return digest(branch[0]), digest(branch)


def branching(number: int, branch: str) -> TurnRecord:
    users, path = hashes(branch)
    return a_turn(number, parent=0, users_hash=users, path_hash=path)


def candidate(number: int, branch: str) -> Candidate:
    return Candidate(number, *hashes(branch))


async def with_branches(store: Store) -> None:
    await store.commit_turn(first(a_session(1), *(branching(*turn) for turn in BRANCHES.items())))
    await store.commit_turn(first(a_session(2), *(branching(number, "aA") for number in range(1, 9))))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["aC"], {4: "aC"}),  # the newest with the users' texts is the newest with the replies too
        (["aA"], {4: "aC", 3: "aA"}),
        (["aX"], {4: "aC"}),
        (["xA"], {}),
        (["bB", "aA"], {5: "bB", 4: "aC", 3: "aA"}),
        (["aA", "aC", "aA"], {4: "aC", 3: "aA"}),
        ([], {}),
    ],
)
async def test_candidates_are_the_newest_with_both_hashes_and_the_newest_with_the_users(
    store: Store, asked: list[str], found: dict[int, str]
) -> None:
    await with_branches(store)
    candidates = await store.find_candidates(a_session(1), [hashes(branch) for branch in asked])
    assert list(candidates) == [candidate(*turn) for turn in found.items()]


async def test_candidates_of_a_session_without_turns_are_none(store: Store) -> None:
    await with_branches(store)
    assert list(await store.find_candidates(a_session(3), [hashes("aA")])) == []


@pytest.mark.parametrize("count", [1, 2, 3, 500, 512, 513, 1025, 5000])
async def test_any_number_of_paths_can_be_asked_for_at_once(store: Store, count: int) -> None:
    await with_branches(store)
    asked = [*[(digest(f"users {number}"), digest(f"path {number}")) for number in range(count - 1)], hashes("aA")]
    assert list(await store.find_candidates(a_session(1), asked)) == [candidate(4, "aC"), candidate(3, "aA")]


async def test_the_branch_whose_replies_match_is_found_however_many_came_after_it(store: Store) -> None:
    turns = [branching(number, f"a{number}") for number in range(1, 400)]
    await store.commit_turn(first(a_session(1), *turns))
    found = await store.find_candidates(a_session(1), [hashes("a1")])
    assert list(found) == [candidate(399, "a399"), candidate(1, "a1")]


async def test_a_conversation_is_found_in_the_newest_sessions_first(store: Store) -> None:
    said, other = digest("conversation"), digest("another")
    one = [
        a_turn(1, conversation_hash=said, inputs_hash=b"1"),
        a_turn(2, conversation_hash=other, inputs_hash=b"2"),
        a_turn(3, conversation_hash=said, inputs_hash=b"3"),
    ]
    await store.commit_turn(first(a_session(5), *one))
    await store.commit_turn(first(a_session(9), a_turn(1, conversation_hash=said, inputs_hash=b"1")))
    await store.commit_turn(first(a_session(7), a_turn(1)))
    found = list(await store.find_conversations(said))
    assert found == [
        Conversation(a_session(9), 1, b"1"),
        Conversation(a_session(5), 3, b"3"),
        Conversation(a_session(5), 1, b"1"),
    ]
    assert list(await store.find_conversations(other)) == [Conversation(a_session(5), 2, b"2")]
    assert list(await store.find_conversations(b"")) == []


async def test_a_conversation_is_looked_for_in_a_hundred_places(store: Store) -> None:
    for key in range(1, 104):
        await store.commit_turn(first(a_session(key), a_turn(1, conversation_hash=digest("conversation"))))
    found = await store.find_conversations(digest("conversation"))
    assert [(one.session.key, one.turn) for one in found] == [(key, 1) for key in range(103, 3, -1)]


async def test_a_repeated_request_is_the_newest_of_the_last_hundred_turns(store: Store) -> None:
    same = digest("request")
    turns = [
        a_turn(1, request_hash=digest("early")),
        a_turn(2, request_hash=same),
        a_turn(3, request_hash=same),
        a_turn(4, request_hash=same, adopted=True),
        a_turn(5, request_hash=digest("adopted"), adopted=True),
    ]
    await store.commit_turn(first(a_session(1), *turns))
    await store.commit_turn(first(a_session(2), a_turn(1, request_hash=digest("theirs"))))
    assert await store.find_request(a_session(1), same) == turns[2]
    assert await store.find_request(a_session(1), digest("early")) == turns[0]
    assert await store.find_request(a_session(1), digest("adopted")) is None
    assert await store.find_request(a_session(1), digest("theirs")) is None

    more = [a_turn(number) for number in range(6, 103)]
    await store.commit_turn(following(a_session(1, version=2, head=102), *more))
    assert await store.find_request(a_session(1), digest("early")) is None
    assert await store.find_request(a_session(1), same) == turns[2]


async def test_whether_a_reply_arrived_is_noted_beside_its_turn(store: Store) -> None:
    turn = a_full_turn(1, parent=0)
    await store.commit_turn(first(a_session(1), turn, a_turn(2)))
    assert not await store.is_undelivered(a_session(1), 1)
    await store.set_undelivered(a_session(1), 1, True)
    assert await store.is_undelivered(a_session(1), 1)
    assert not await store.is_undelivered(a_session(1), 2)
    assert await store.load_turn(a_session(1), 1) == turn
    await store.set_undelivered(a_session(1), 1, False)
    assert not await store.is_undelivered(a_session(1), 1)


async def test_a_turn_that_is_not_there_was_delivered(store: Store) -> None:
    await store.set_undelivered(a_session(1), 1, True)
    assert not await store.is_undelivered(a_session(1), 1)
    await store.commit_turn(first(a_session(1)))
    assert not await store.is_undelivered(a_session(1), 1)
    await store.set_undelivered(a_session(1), 1, True)
    await store.delete_session(NAMESPACE, "session-1")
    assert not await store.is_undelivered(a_session(1), 1)


async def test_a_whole_path_has_the_changes_of_all_its_turns_and_no_snapshot(store: Store) -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 2}
    turns = {number: a_full_turn(number, parent=parent) for number, parent in parents.items()}
    await store.commit_turn(first(a_session(1), turns[1], turns[2], turns[3], snapshot=Snapshot(2, "{}")))
    await store.commit_turn(following(a_session(1, version=2, head=4), turns[4], snapshot=Snapshot(4, "{}")))
    assert await store.load_path(a_session(1), 4, whole=True) == Path((turns[1], turns[2], turns[4]))
    assert await store.load_path(a_session(1), 3, whole=True) == Path((turns[1], turns[2], turns[3]))
    assert await store.load_path(a_session(1), 0, whole=True) == Path(())
    assert await store.load_path(a_session(1), 9, whole=True) == Path(())
    bare = msgspec.structs.replace(turns[1], changes=())
    assert (await store.load_path(a_session(1), 4)).turns[0] == bare
