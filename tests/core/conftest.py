"""A served agent for each test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from core_running import Running, Serve, database, running

from greenroom.core.agent import Agent


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serves agents on the test's own database."""
    async with AsyncExitStack() as stack:

        async def start(agent: Agent, **options: Any) -> Running:
            return await stack.enter_async_context(running(agent, database(tmp_path), **options))

        yield start
