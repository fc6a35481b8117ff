"""What the tests of several folders need: a real PostgreSQL that the workers of a test run share, and databases on it."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_postgres import Databases, start_postgres, stop_postgres

from greenroom.storage import open_store


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


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
