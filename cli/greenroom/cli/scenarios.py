"""A core's scenarios: where they are, what the log says of them, and reading them again."""

import asyncio
import logging
from pathlib import Path

from greenroom.cli.settings import Settings
from greenroom.core.agent import AgentError
from greenroom.core.agents import Agents
from greenroom.core.core import Core
from greenroom.core.errors import StoreUnavailable
from greenroom.core.scenario_files.mistake import meant
from greenroom.core.scenario_files.sources import Folder, Source

logger = logging.getLogger(__name__)

_FOLDER = "scenarios"


def scenario_sources(settings: Settings) -> list[Source]:
    """The folder that the settings name, or the one in the current folder, which may appear later."""
    named = settings.scenarios_dir
    return [Folder(Path.cwd() / _FOLDER, optional=True) if named is None else Folder(named)]


def tell(agents: Agents) -> None:
    """Says in the log what was loaded and what was wrong."""
    served = list(agents)
    for one in served:
        whose = f"agent {one.id}, " if len(served) > 1 else ""
        loaded = one.loaded
        for mistake in loaded.mistakes:
            logger.warning("%sscenario: %s", whose, mistake)
        if loaded.files or loaded.mistakes:
            count = len(list(loaded.scenarios))
            logger.info(
                "%s%d scenarios loaded from %d files, with %d mistakes",
                whose,
                count,
                loaded.files,
                len(loaded.mistakes),
            )
    elsewhere = {id: mistake for one in served for id, mistake in one.loaded.elsewhere.items()}
    for id in elsewhere.keys() - {one.id for one in served}:
        logger.warning("scenario: %s%s", elsewhere[id], meant(id, [one.id for one in served]))


class Reloads:
    """Reads a core's scenarios again when asked, one reading at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._reading: asyncio.Task[None] | None = None
        self._again = False

    def ask(self) -> None:
        self._again = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._core.agents.reload(self._core.store)
                tell(self._core.agents)
            except AgentError as problem:
                logger.error("the scenarios stay as they were: %s", problem)
            except StoreUnavailable as problem:
                logger.error("the scenarios stay as they were: %s", problem.message)
