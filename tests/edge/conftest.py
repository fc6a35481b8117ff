"""A fake core, and an edge in front of it."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from edge_running import KEYS, in_process, options
from fake_core import FakeCore


@pytest.fixture(scope="session", autouse=True)
async def one_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keeps one event loop for all tests: grpc.aio may still call back into the loop of a test that is over."""
    yield  # noqa: PT022 (a fixture that returns would let the loop go)


@pytest.fixture
async def core() -> AsyncIterator[FakeCore]:
    fake = FakeCore()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(core: FakeCore) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(options(core.target)) as client:
        yield client


@pytest.fixture
async def keyed(core: FakeCore) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(options(core.target), KEYS.get) as client:
        yield client
