"""The database, opened by commands that are no server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from greenroom.cli.process import CannotStart
from greenroom.cli.settings import Settings
from greenroom.core.errors import StoreUnavailable
from greenroom.core.ports import Store
from greenroom.storage import open_store


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, writes: bool) -> AsyncIterator[Store]:
    """The store, to read beside a running core, or to write to when none runs on the same SQLite file."""
    try:
        store = open_store(settings.database_url.get_secret_value(), read_only=not writes)
    except ValueError as problem:
        raise CannotStart(f"database_url: {problem}") from None
    try:
        await store.start()
    except StoreUnavailable as problem:
        raise CannotStart(problem.message, code=1) from None
    try:
        yield store
    except StoreUnavailable as problem:
        raise CannotStart(problem.message, code=1) from None
    finally:
        await store.close()


def migrate_database(settings: Settings) -> str:
    """Opens the database as a core does, which brings its schema up to date. Returns what to tell."""

    async def run() -> None:
        async with opened(settings, writes=True):
            pass

    asyncio.run(run())
    return "the database's schema is up to date"
