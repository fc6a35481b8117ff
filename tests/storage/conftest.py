"""Stores to test: in memory, a SQLite file, and a real PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import storage_samples as samples

from greenroom.core.memory import MemoryStore
from greenroom.core.ports import Store
from greenroom.storage import SqlStore, open_store


@pytest.fixture
def clock() -> samples.Clock:
    return samples.Clock()


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
