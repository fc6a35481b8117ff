"""What the tests of several folders need: a real PostgreSQL that the workers of a test run share, and databases on it."""

import asyncio
import gc
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import trustme
from hypothesis import settings
from real_postgres import Databases, start_postgres, stop_postgres

from greenroom.storage import open_store


def pytest_configure() -> None:
    """Half of Hypothesis's hundred examples: each run draws others."""
    settings.register_profile("greenroom", max_examples=50)
    settings.load_profile("greenroom")


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One more than there are cores: many tests wait, for processes that start and for time that passes."""
    return (yield) + 1


def pytest_collection_finish() -> None:
    """What was imported and collected lives until the end: no collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One certificate authority instead of the system's hundred and more, which every HTTP client that is made reads anew (25
    ms of CPU), also where it speaks plain HTTP."""
    file = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


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
