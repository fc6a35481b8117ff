"""The tools that an agent has now: its own, and those that its sources bring."""

import asyncio
from collections.abc import Iterable
from typing import Any

from greenroom.core.tool_source import ToolSource
from greenroom.core.tools import Tool

Tools = tuple[Tool[..., Any], ...]


class ToolRack:
    """An agent's own tools and its sources, in this order. Of two tools with the same name the first one is had."""

    def __init__(self, items: Iterable[Tool[..., Any] | ToolSource]) -> None:
        items = tuple(items)
        self.own: Tools = tuple(item for item in items if isinstance(item, Tool))
        self._given: tuple[ToolSource, ...] = tuple(
            dict.fromkeys(item for item in items if isinstance(item, ToolSource))
        )
        self.sources = self._given
        self._now = self.own
        self._seen: tuple[Tools, ...] = ()
        self._clashes: tuple[str, ...] = ()
        self._is_started = False

    def add(self, source: ToolSource) -> None:
        """One more source, after the others. Raises `RuntimeError` once they have been started."""
        if self._is_started:
            raise RuntimeError(f"the tools of {source.name} come too late: the agent has been started")
        if source not in self._given:
            self.sources = self._given = (*self._given, source)

    def stand_in(self, sources: tuple[ToolSource, ...] | None) -> None:
        """Until it is started the next time: others in the place of its sources; None for its own."""
        self.sources = self._given if sources is None else sources

    @property
    def now(self) -> Tools:
        """All of them, the same tuple as long as nothing has changed."""
        if self.sources:
            seen = tuple([source.tools for source in self.sources])
            if seen != self._seen:
                self._put_together(seen)
        return self._now

    @property
    def is_complete(self) -> bool:
        """Whether every source has said what it has."""
        return all(source.tools for source in self.sources)

    def problems(self) -> list[str]:
        """What is wrong with the sources, each by its name."""
        if not self.sources:
            return []
        found = [f"tools of {source.name}: {problem}" for source in self.sources if (problem := source.problem())]
        return [*found, *(self._clashes if self.now else ())]

    def why_absent(self) -> str:
        """What is wrong with the sources that have not said what they have; "" for nothing. A tool that is looked for in vain
        may be theirs."""
        silent = [(source.name, source.problem()) for source in self.sources if not source.tools]
        return "; ".join(f"those of {name} are not there: {problem}" for name, problem in silent if problem)

    async def enter(self) -> None:
        """Starts the sources, all at once. Raises what one of them raises; then none is left open."""
        self._is_started = True
        done = await asyncio.gather(*(source.enter() for source in self.sources), return_exceptions=True)
        failed = [problem for problem in done if problem is not None]
        if failed:
            self._is_started = False
            # those that have failed are stopped already
            started = (source for source, problem in zip(self.sources, done, strict=True) if problem is None)
            await asyncio.gather(*(source.leave() for source in started))
            raise failed[0]

    async def leave(self) -> None:
        """Stops the sources, where they have been started."""
        if self._is_started:
            self._is_started = False
            await asyncio.gather(*(source.leave() for source in self.sources))

    def _put_together(self, seen: tuple[Tools, ...]) -> None:
        had = {tool.name: (tool, "the agent's own tool") for tool in self.own}
        clashes: list[str] = []
        for source, tools in zip(self.sources, seen, strict=True):
            for tool in tools:
                first, whose = had.setdefault(tool.name, (tool, f"that of {source.name}"))
                if first is not tool:
                    clashes.append(
                        f"tools of {source.name}: {tool.name} is left out, {whose} has this name; a prefix tells them apart"
                    )
        self._seen = seen
        self._now = tuple([tool for tool, _ in had.values()])
        self._clashes = tuple(clashes)
