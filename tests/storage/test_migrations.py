"""The schema: as the code says, brought there by whoever starts first, refused when it is not ours to change."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from real_postgres import Databases
from storage_samples import NAMESPACE, a_session, first

from greenroom.core.errors import StoreUnavailable
from greenroom.storage import SqlStore
from greenroom.storage.location import parse_location
from greenroom.storage.migrating import HEAD, alembic_config, upgrade
from greenroom.storage.tables import metadata

Open = Callable[..., SqlStore]


def engine(url: str) -> sa.Engine:
    return sa.create_engine(parse_location(url).url, poolclass=sa.NullPool)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    databases: Databases = request.getfixturevalue("databases")
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


async def test_migrations_lead_to_the_tables_of_the_code(empty_url: str, opened: Open) -> None:
    with engine(empty_url).begin() as connection:
        upgrade(connection)
    with engine(empty_url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


async def test_an_empty_database_gets_what_the_migrations_lead_to(empty_url: str, opened: Open) -> None:
    with engine(empty_url).begin() as connection:
        upgrade(connection)
        migrated = schema_of(connection)
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
    await opened(empty_url).start()
    with engine(empty_url).connect() as connection:
        assert schema_of(connection) == migrated
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD


def schema_of(connection: sa.Connection) -> dict[str, list[str]]:
    """All that the database says of its tables, in whatever order their parts stand."""
    inspector = sa.inspect(connection)

    def parts(table: str) -> list[Any]:
        return [
            *inspector.get_columns(table),
            *inspector.get_indexes(table),
            *inspector.get_foreign_keys(table),
            *inspector.get_unique_constraints(table),
            *inspector.get_check_constraints(table),
            inspector.get_pk_constraint(table),
            inspector.get_table_options(table),
        ]

    return {
        table: sorted(json.dumps(part, default=str, sort_keys=True) for part in parts(table))
        for table in inspector.get_table_names()
    }


def test_alembic_is_not_imported_where_nothing_is_migrated(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from greenroom.storage import open_store

async def twice():
    for _ in range(2):
        store = open_store("sqlite:///{tmp_path}/greenroom.db")
        await store.start()
        await store.close()

asyncio.run(twice())
sys.exit("alembic" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_code_needs_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD


def test_migrations_are_part_of_the_package() -> None:
    scripts = Path(str(alembic_config().get_main_option("script_location")))
    assert scripts.parent.name == "storage"
    assert sorted(path.name for path in scripts.glob("versions/*.py"))


async def test_starting_again_changes_nothing(url: str, opened: Open) -> None:
    store = opened(url)
    await store.start()
    await store.commit_turn(first(a_session(1)))
    await store.close()
    again = opened(url)
    await again.start()
    assert await again.load_session(NAMESPACE, "session-1") == a_session(1)


async def test_many_that_start_at_once_migrate_once(databases: Databases, opened: Open) -> None:
    name = databases.create()
    stores = [opened(databases.url(name), wait_seconds=30.0) for _ in range(4)]
    await asyncio.gather(*(store.start() for store in stores))
    await stores[0].commit_turn(first(a_session(1)))
    assert await stores[3].load_session(NAMESPACE, "session-1") == a_session(1)
    for store in stores:
        await store.close()
    databases.drop(name)


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str, opened: Open) -> None:
    store = opened(url)
    await store.start()
    await store.close()
    with engine(url).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for read_only in (False, True):
        with pytest.raises(StoreUnavailable, match=r"9999.*upgrade Greenroom"):
            await opened(url, read_only=read_only).start()
    with engine(url).connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9999"


async def test_a_reader_does_not_make_tables(empty_url: str, opened: Open) -> None:
    with pytest.raises(StoreUnavailable, match=r"does not exist|no Greenroom tables"):
        await opened(empty_url, read_only=True).start()
