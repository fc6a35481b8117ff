"""SQLite when things go wrong: a clear error, an unhealthy store, no lost or half turn, and recovery without a restart."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from storage_samples import NAMESPACE, a_full_turn, a_session, first, following

from greenroom.core.errors import StoreUnavailable
from greenroom.core.ports import MissingSession
from greenroom.storage import SqlStore, open_store

Open = Callable[..., SqlStore]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(sqlite_url: str, opened: Open) -> SqlStore:
    """One that has a session and waits a moment only."""
    store = opened(sqlite_url, wait_seconds=0.05)
    await store.start()
    await store.commit_turn(first(a_session(1)))
    return store


@contextmanager
def connections() -> Iterator[list[sqlite3.Connection]]:
    """The driver's connections that are opened meanwhile."""
    found: list[sqlite3.Connection] = []

    def keep(connection: Any, record: Any) -> None:
        found.append(connection)

    sa.event.listen(sa.Engine, "connect", keep)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "connect", keep)


def move(file: Path, place: Path) -> None:
    file.rename(place)


def exists(file: Path) -> bool:
    return file.exists()


def content(file: Path) -> bytes:
    return file.read_bytes()


def overwrite(file: Path, words: bytes) -> None:
    size = file.stat().st_size if file.exists() else 10_000
    file.write_bytes(words * (size // len(words)))


async def status(store: SqlStore) -> str:
    return (await store.health()).status


async def numbers(store: SqlStore) -> list[int]:
    return [turn.number for turn in (await store.list_turns(a_session(1), 1000, "")).items]


async def test_a_full_disk_refuses_the_turn_whole_and_takes_it_when_there_is_room(
    sqlite_url: str, opened: Open
) -> None:
    store = opened(sqlite_url)
    with connections() as found:
        await store.start()
    await store.commit_turn(first(a_session(1)))
    writing = found[0]
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages}")

    large = following(a_session(1, version=2, head=2), a_full_turn(2, "x" * 100_000))
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await store.commit_turn(large)
    health = await store.health()
    assert (health.status, "full" in health.detail) == ("unhealthy", True)
    assert await store.load_session(NAMESPACE, "session-1") == a_session(1)
    assert await numbers(store) == [1]

    writing.execute("PRAGMA max_page_count = 1000000")
    assert await status(store) == "healthy"
    await store.commit_turn(large)
    assert await numbers(store) == [1, 2]


async def test_a_turn_that_fits_is_written_beside_one_that_does_not(sqlite_url: str, opened: Open) -> None:
    store = opened(sqlite_url)
    with connections() as found:
        await store.start()
    await store.commit_turn(first(a_session(1)))
    (pages,) = found[0].execute("PRAGMA page_count").fetchone()
    found[0].execute(f"PRAGMA max_page_count = {pages + 10}")
    outcomes = await asyncio.gather(
        store.commit_turn(first(a_session(2))),
        store.commit_turn(first(a_session(3), a_full_turn(1, "x" * 500_000))),
        store.commit_turn(first(a_session(4))),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreUnavailable, type(None)]


async def test_a_locked_database_refuses_after_its_time_and_works_again_when_free(store: SqlStore, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            store.commit_turn(following(a_session(1, version=2, head=2))),
            store.commit_turn(first(a_session(2))),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
        assert await status(store) == "unhealthy"
        assert await numbers(store) == [1]
        other.execute("ROLLBACK")
    assert await status(store) == "healthy"
    await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await numbers(store) == [1, 2]


async def test_a_file_that_goes_away_is_not_made_anew_and_is_used_again_when_back(
    store: SqlStore, file: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away.db"
    move(file, away)
    with pytest.raises(StoreUnavailable):
        await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await status(store) == "unhealthy"
    assert not exists(file)
    move(away, file)
    await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await numbers(store) == [1, 2]
    assert await status(store) == "healthy"


async def test_a_file_that_was_replaced_is_opened_as_it_is(store: SqlStore, file: Path, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path}/other.db")
    await other.start()
    await other.commit_turn(first(a_session(7)))
    await other.close()
    move(tmp_path / "other.db", file)
    with pytest.raises(MissingSession):
        await store.commit_turn(following(a_session(1, version=2, head=2)))
    await store.commit_turn(following(a_session(7, version=2, head=2)))
    assert await store.load_session(NAMESPACE, "session-7") == a_session(7, version=2, head=2)
    assert await store.load_session(NAMESPACE, "session-1") is None


async def test_a_damaged_file_is_not_written_to_until_a_good_one_is_in_its_place(
    store: SqlStore, file: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good.db"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(good)) as copy:
        source.backup(copy)
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(file, b"not a database ")

    health = await store.health()
    assert health.status == "unhealthy"
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.commit_turn(following(a_session(1, version=2, head=2)))
    with pytest.raises(StoreUnavailable):
        await store.load_session(NAMESPACE, "session-1")
    assert await status(store) == "unhealthy"

    shutil.copy(good, tmp_path / "coming.db")
    move(tmp_path / "coming.db", file)
    await store.commit_turn(following(a_session(1, version=2, head=2)))
    assert await numbers(store) == [1, 2]
    assert await status(store) == "healthy"


async def test_a_file_that_is_no_database_is_named_at_the_start(sqlite_url: str, file: Path, opened: Open) -> None:
    overwrite(file, b"these are my notes ")
    with pytest.raises(StoreUnavailable, match=rf"{file} cannot be opened.*not a database"):
        await opened(sqlite_url).start()
    assert content(file).startswith(b"these are my notes")


CHILD = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from greenroom.storage import open_store
from storage_samples import a_full_turn, a_session, first, following

async def converse(store, key):
    turns = [a_full_turn(n, attempt_id=f"{key} {n}") for n in range(1, 10_000)]
    await store.commit_turn(first(a_session(key), turns[0]))
    for turn in turns[1:]:
        await store.commit_turn(following(a_session(key, version=turn.number, head=turn.number), turn))
        print(f"{key} {turn.number}", flush=True)

async def main():
    store = open_store(sys.argv[1])
    await store.start()
    await asyncio.gather(*(converse(store, key) for key in range(1, 9)))

asyncio.run(main())
"""


@pytest.fixture
def killed(sqlite_url: str) -> dict[int, int]:
    """What a process said was stored, turns by session, before it was killed while it wrote."""
    command = [sys.executable, "-c", CHILD, sqlite_url, str(Path(__file__).parent)]
    told: dict[int, int] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for count, line in enumerate(child.stdout, 1):
            if not line.endswith("\n"):  # the kill cut its last word short
                break
            key, number = map(int, line.split())
            told[key] = number
            if count == 300:
                child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    return told


async def test_a_kill_loses_nothing_that_was_answered_and_leaves_no_half_turn(
    killed: dict[int, int], sqlite_url: str, opened: Open
) -> None:
    store = opened(sqlite_url)
    await store.start()
    for key, number in killed.items():
        session = await store.load_session(NAMESPACE, f"session-{key}")
        assert session is not None
        path = (await store.load_path(session, session.head)).turns
        assert session.head >= number
        assert path == tuple(a_full_turn(n, attempt_id=f"{key} {n}") for n in range(1, session.head + 1))
        assert await store.load_turn(session, session.head + 1) is None
        moved = a_session(key, version=session.head + 1, head=session.head + 1)
        await store.commit_turn(following(moved))
