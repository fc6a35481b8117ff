"""From a URL to a store: what is understood, what is refused and how it is said, and who may write."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from storage_samples import NAMESPACE, a_session, first

from greenroom.core.errors import StoreUnavailable
from greenroom.storage import SqlStore, open_store
from greenroom.storage.location import parse_location

Open = Callable[..., SqlStore]


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("greenroom.db", "not a database URL"),
        ("", "not a database URL"),
        ("sqlite://", "names a plain file"),
        ("sqlite:///:memory:", "names a plain file"),
        ("sqlite://greenroom.db", "three slashes"),
        ("sqlite:///greenroom.db?mode=ro", "no parameters"),
        ("postgres://localhost/greenroom", "begins with postgresql://"),
        ("postgresql://localhost", "names its database"),
        ("mysql://localhost/greenroom", "'mysql' is not a database that Greenroom knows"),
        ("postgresql+asyncpg://localhost/greenroom", "'postgresql.asyncpg' is not"),
    ],
)
def test_a_wrong_url_says_what_would_be_right(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        open_store(url)
    assert "sqlite:///" in str(caught.value)


def test_no_password_is_in_a_databases_name() -> None:
    assert parse_location("postgresql://me:s3cret@db:5433/rooms").name == "PostgreSQL database rooms on db:5433"


def test_a_relative_file_is_one_of_the_folder_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_location("sqlite:///rooms.db").file == tmp_path / "rooms.db"
    assert parse_location("sqlite:////srv/rooms.db").file == Path("/srv/rooms.db")


def test_opening_touches_nothing(sqlite_url: str, tmp_path: Path) -> None:
    open_store(sqlite_url)
    assert list(tmp_path.iterdir()) == []


async def test_only_one_store_owns_a_sqlite_file(sqlite_url: str, opened: Open, tmp_path: Path) -> None:
    owner = opened(sqlite_url)
    await owner.start()
    assert owner.exclusive
    second = opened(sqlite_url)
    with pytest.raises(StoreUnavailable, match=rf"{tmp_path}/store\.db is in use by another process"):
        await second.start()
    await owner.commit_turn(first(a_session(1)))
    await owner.close()
    third = opened(sqlite_url)
    await third.start()
    assert await third.load_session(NAMESPACE, "session-1") == a_session(1)


async def test_a_reader_looks_at_what_a_server_writes_and_writes_nothing(url: str, opened: Open) -> None:
    owner, reader = opened(url), opened(url, read_only=True)
    await owner.start()
    await reader.start()
    assert not reader.exclusive
    await owner.commit_turn(first(a_session(1)))
    assert (await reader.list_sessions(NAMESPACE, "", 10, "")).items == (a_session(1),)
    assert (await reader.health()).status == "healthy"
    with pytest.raises(StoreUnavailable):
        await reader.commit_turn(first(a_session(2)))
    with pytest.raises(StoreUnavailable):
        await reader.delete_session(NAMESPACE, "session-1")


async def test_a_file_name_may_hold_any_character(tmp_path: Path, opened: Open) -> None:
    folder = tmp_path / "a #b%c d"
    folder.mkdir()
    store = opened(f"sqlite:///{folder}/röom%23 %25.db")
    await store.start()
    await store.commit_turn(first(a_session(1)))
    assert {path.name for path in folder.iterdir()} >= {"röom# %.db", "röom# %.db.lock"}


async def test_a_folder_that_is_missing_is_named(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(StoreUnavailable, match=rf"folder of the SQLite file {tmp_path}/none/store\.db does not exist"):
        await opened(f"sqlite:///{tmp_path}/none/store.db").start()


async def test_a_server_that_does_not_answer_is_named_without_its_password(opened: Open) -> None:
    with pytest.raises(
        StoreUnavailable, match=r"PostgreSQL database rooms on 127\.0\.0\.1:1 cannot be opened"
    ) as caught:
        await opened("postgresql://me:s3cret@127.0.0.1:1/rooms").start()
    assert "s3cret" not in str(caught.value)


async def test_what_is_asked_of_a_closed_store_is_refused(url: str, opened: Open) -> None:
    store = opened(url)
    with pytest.raises(StoreUnavailable):
        await store.load_session(NAMESPACE, "session-1")
    await store.start()
    await store.close()
    for work in (store.load_session(NAMESPACE, "session-1"), store.commit_turn(first(a_session(1)))):
        with pytest.raises(StoreUnavailable):
            await work


async def test_closing_writes_out_what_is_queued(url: str, opened: Open) -> None:
    store = opened(url)
    await store.start()
    commits = [store.commit_turn(first(a_session(key))) for key in range(1, 51)]
    tasks = [asyncio.ensure_future(commit) for commit in commits]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    again = opened(url)
    await again.start()
    assert len((await again.list_sessions(NAMESPACE, "", 100, "")).items) == 50
