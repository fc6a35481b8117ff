"""Stores to test: in memory, a SQLite file, and a real PostgreSQL that the workers of a test run share."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import storage_samples as samples
from real_postgres import Databases, start_postgres, stop_postgres

from greenroom.core.memory import MemoryStore
from greenroom.core.ports import Store
from greenroom.storage import SqlStore, open_store


@pytest.fixture
def clock() -> samples.Clock:
    return samples.Clock()


@pytest.fixture(scope="session")
def databases(testrun_uid: str, worker_id: str) -> Iterator[Databases]:
    server = start_postgres(Path(tempfile.gettempdir()) / f"greenroom-postgres-{testrun_uid}")
    databases = Databases(server, f"test_{worker_id}")
    # A test's database need not survive the power.
    databases.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield databases
    stop_postgres(server)


@pytest.fixture(scope="session")
def migrated(databases: Databases) -> str:
    """A database with our tables in it, to copy."""
    name = databases.create()

    async def migrate() -> None:
        store = open_store(databases.url(name))
        await store.start()
        await store.close()

    asyncio.run(migrate())
    return name


@pytest.fixture
def postgres_url(databases: Databases, migrated: str) -> Iterator[str]:
    name = databases.create(migrated)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def any_url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def store(any_url: str, clock: samples.Clock) -> AsyncIterator[Store]:
    """Each implementation of the port, started."""
    store: Store = open_store(any_url, clock=clock) if any_url else MemoryStore(clock)
    await store.start()
    yield store
    await store.close()


@pytest.fixture
async def opened(clock: samples.Clock) -> AsyncIterator[Callable[..., SqlStore]]:
    """Opens stores, not started, and closes them in the end."""
    stores = []

    def open_one(url: str, wait_seconds: float = 2.0, *, read_only: bool = False) -> SqlStore:
        stores.append(open_store(url, clock=clock, wait_seconds=wait_seconds, read_only=read_only))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()
