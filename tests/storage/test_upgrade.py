"""A database of an earlier release, with data in it, under this one: all of it can be read, and gone on with."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from real_postgres import Databases
from storage_samples import NAMESPACE, NOON, ODD_TEXT, Clock, a_session, a_start, a_turn, digest, first, following

from greenroom.core.ports import Store
from greenroom.core.records import Candidate, History, Message, Path, ScenarioRef, Start, ToolCallRecord, TurnRecord
from greenroom.storage import SqlStore
from greenroom.storage.location import parse_location
from greenroom.storage.migrating import alembic_config
from greenroom.storage.nul import escape

SESSIONS = 1100
"""More than the migration fills in one step."""
LATE = Start(ScenarioRef("late", 'la"te \\ 🦊', True), "", "seed of late")
ODD = Start(ScenarioRef("default", ODD_TEXT, False), "", "seed")
PLAIN = Start(ScenarioRef("default"), "", "seed")
CALL = (
    '[{"id":"call_1","name":"look","arguments_json":"{}","result_json":"1","ok":true,"started_us":1,"duration_us":2,'
    '"changes":[]}]'
)
"""As a tool call was stored before it told what had scripted it."""


def start_of(key: int) -> Start:
    return {1: LATE, 2: ODD}.get(key, PLAIN)


def session_row(key: int, stored: Callable[[str], str]) -> dict[str, Any]:
    start = start_of(key)
    texts = {
        "namespace": NAMESPACE,
        "session_id": f"session-{key}",
        "chat_id": f"chat-{key}",
        "user_id": f"user-{key}",
        "agent": "support",
        "opened_by": "usertrace",
        "metadata": "{}",
        "scenario_id": start.scenario.id,
        "scenario_requested": stored(start.scenario.requested),
        "seed_sha": start.seed_sha,
    }
    times = {"created_at": microseconds(), "updated_at": microseconds()}
    flags = {"transcript_mode": False, "minted": False, "scenario_found": start.scenario.found}
    return {"key": key, "version": 3, "head": 3, "turn_count": 3, "changed_bytes": 0, **texts, **times, **flags}


def turn_row(key: int, number: int, parent: int) -> dict[str, Any]:
    texts = {
        "attempt_id": f"{key} {number}",
        "idempotency_key": "",
        "completion_id": "",
        "request_id": "",
        "messages": '[{"role":"user","content":"hello"}]',
        "context": "[]",
        "metadata": "{}",
        "options": "{}",
        "reply": f"reply {number}",
        "evaluation": "{}",
        "state": "{}",
        "changes": "[]",
        "tool_calls": CALL,
    }
    hashes = {"request_hash": b"", "users_hash": digest(f"users {number}"), "path_hash": digest(f"path {number}")}
    numbers = {"history": 2, "prompt_tokens": 0, "completion_tokens": 0, "duration_us": 0, "created_at": microseconds()}
    return {"session_key": key, "number": number, "parent": parent, "adopted": False, **texts, **hashes, **numbers}


def microseconds() -> int:
    return round(NOON.timestamp()) * 1_000_000 + NOON.microsecond


def old_turn(key: int, number: int, parent: int) -> TurnRecord:
    """As `turn_row` is to be read."""
    start = start_of(key)
    return a_turn(
        number,
        parent=parent,
        attempt_id=f"{key} {number}",
        messages=(Message("user", "hello"),),
        reply=f"reply {number}",
        history=History.NEXT,
        scenario=start.scenario,
        start=None if parent else start,
        tool_calls=(ToolCallRecord("call_1", "look", "{}", "1", True, 1, 2, (), ""),),
    )


# Started over at the second turn.
PARENTS = {1: 0, 2: 0, 3: 2}


@pytest.fixture(params=["sqlite", "postgres"])
def old_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database as the first release left it."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        fill(url, lambda text: text)
        yield url
        return
    databases: Databases = request.getfixturevalue("databases")
    name = databases.create()
    fill(databases.url(name), escape)
    yield databases.url(name)
    databases.drop(name)


def fill(url: str, stored: Callable[[str], str]) -> None:
    engine = sa.create_engine(parse_location(url).url, poolclass=sa.NullPool)
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        tables = sa.MetaData()
        tables.reflect(connection)
        keys = range(1, SESSIONS + 1)
        connection.execute(tables.tables["sessions"].insert(), [session_row(key, stored) for key in keys])
        rows = [turn_row(key, *turn) for key in keys for turn in PARENTS.items()]
        connection.execute(tables.tables["turns"].insert(), rows)
        seeds = [{"sha": sha, "body": "{}", "put_at": 0} for sha in ("seed", "seed of late", "unused")]
        connection.execute(tables.tables["seeds"].insert(), seeds)


async def opened_old(url: str, opened: Callable[..., SqlStore]) -> Store:
    store = opened(url, wait_seconds=30.0)
    await store.start()
    return store


async def test_what_an_earlier_release_stored_reads_as_it_was(old_url: str, opened: Callable[..., SqlStore]) -> None:
    store = await opened_old(old_url, opened)
    for key in (1, 2, 3, 999, 1000, 1001, SESSIONS):
        session = a_session(key, version=3, head=3, turn_count=3, start=start_of(key))
        turns = tuple(old_turn(key, *turn) for turn in PARENTS.items())
        assert await store.load_session(NAMESPACE, f"session-{key}") == session
        assert (await store.list_turns(session, 10, "")).items == turns
        assert await store.load_path(session, 3) == Path(turns[1:])
        assert await store.find_attempt(f"{key} 2") == (session, turns[1])
        asked = [(digest("users 2"), digest("path 2"))]
        assert list(await store.find_candidates(session, asked)) == [Candidate(2, *asked[0])]
        assert await store.is_undelivered(session, 2) is False


async def test_a_session_of_an_earlier_release_goes_on(old_url: str, opened: Callable[..., SqlStore]) -> None:
    store = await opened_old(old_url, opened)
    moved = a_session(1, version=4, head=4, turn_count=4, start=LATE)
    await store.commit_turn(following(moved, a_turn(4, parent=3, scenario=LATE.scenario)))
    assert await store.load_session(NAMESPACE, "session-1") == moved
    assert [turn.number for turn in (await store.load_path(moved, 4)).turns] == [2, 3, 4]


async def test_old_starts_keep_their_worlds(old_url: str, opened: Callable[..., SqlStore], clock: Clock) -> None:
    store = await opened_old(old_url, opened)
    new = Start(ScenarioRef("new"), "scenario of new", "seed of new")
    later = NOON + timedelta(days=2)
    moved = a_session(1, version=4, head=4, turn_count=4, start=new, updated_at=later)
    await store.commit_turn(following(moved, a_start(4, new)))
    await store.commit_turn(first(a_session(9999, start=new, updated_at=later)))
    clock.advance(2 * 24 * 3600)
    assert await store.prune(3600) == SESSIONS - 1
    assert [await store.load_seed(sha) for sha in ("seed of late", "seed", "unused")] == ["{}", None, None]
