"""Tools that come from elsewhere: a server, a document, another process."""

import logging
from abc import ABC, abstractmethod
from typing import Any

from greenroom.core.tools import Tool

_log = logging.getLogger(__name__)


class ToolSource(ABC):
    """What brings an agent tools that may change while it is served: `Agent(tools=[a_tool, a_source])`.

    One that is down starts none the less: it says so in `problem`, and heals by itself. Its tools are made with
    `Tool.described`, fail with `ToolError`, and no message of theirs holds a credential. A tool that is known stays in
    `tools` while its source is down, and fails with a message that names the source; as long as there is none, scenarios
    may script tools of any name, for nobody knows yet which there will be.

    Several agents may have the same source: it is started by the first of them and stopped by the last.
    """

    _users = 0

    @property
    @abstractmethod
    def name(self) -> str:
        """What people know it by: `mcp.shop` for the table of this name in a tools file."""

    @property
    @abstractmethod
    def tools(self) -> tuple[Tool[..., Any], ...]:
        """Its tools as they are now. Asked at every turn: the same tuple as long as nothing has changed."""

    def problem(self) -> str:
        """What is wrong now, without the source's name; "" for nothing. Asked about once a second, on the event loop: says
        what it knows at once (HEALTH-03)."""
        return ""

    async def startup(self) -> None:  # noqa: B027  # a source need not do anything
        """Runs before the first turn, on the event loop that serves; waits for what is slow a few seconds at most. Raises
        `AgentError` for what cannot heal by itself, which fails the start."""

    async def shutdown(self) -> None:  # noqa: B027
        """Runs after the last turn, also where `startup` has failed."""

    async def enter(self) -> None:
        """One more agent uses it: started for the first one."""
        self._users += 1
        if self._users > 1:
            return
        try:
            await self.startup()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """One agent less uses it: stopped after the last one. What fails in that is told in the log."""
        self._users -= 1
        if self._users > 0:
            return
        try:
            await self.shutdown()
        except Exception:  # the source is anybody's, and the others are to be stopped too
            _log.exception("stopping the tools of %s failed", self.name)
