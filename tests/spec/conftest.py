"""The whole sandbox for a test: with a puppet for its agent, or with the agent that comes with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from whole_sandbox import Sandbox, sandbox

from greenroom.agents.support import agent as support_agent


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path) as running:
        yield running


@pytest.fixture
async def support(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with sandbox(tmp_path, support_agent) as running:
        yield running
