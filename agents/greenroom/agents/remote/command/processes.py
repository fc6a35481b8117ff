"""The processes that an agent's turns run in: one for each turn, or a few that stay."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from greenroom.agents.remote.command.lines import LONGEST
from greenroom.agents.remote.failure import RemoteFailed
from greenroom.sdk import AgentUnavailable
from greenroom.tools.child import Child, Command, ended_with, start

_LEAVING = 2.0
"""Seconds that a process gets to end by itself once there is nothing more for it."""

_HINTS = {
    errno.ENOEXEC: "; does its first line name its interpreter, as #!/bin/sh does?",
    errno.ENOENT: "; is the interpreter there that its first line names?",
}
_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

_log = logging.getLogger(__name__)


class Processes:
    """`workers` processes that stay, each with one turn at a time; 0: one for each turn."""

    def __init__(self, command: Sequence[str], name: str, workers: int) -> None:
        self._command = command
        self._name = name
        self._workers = workers
        self._places = asyncio.Semaphore(workers) if workers else None
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Starts the workers. Raises what `_start` raises."""
        self._idle += await asyncio.gather(*(self._start() for _ in range(self._workers)))

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Child]:
        """A process for one turn; what fails in here ends it. Raises `AgentUnavailable` where the machine has no room for
        another one, `RemoteFailed` when it cannot be started."""
        if self._places is None:
            child = await self._start()
            try:
                yield child
            except BaseException:
                child.kill()
                raise
            task = asyncio.create_task(self._leave(child))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            return
        async with self._places:
            child = self._free() or await self._start()
            try:
                yield child
            except BaseException:
                child.kill()
                await self._replace()
                raise
            self._idle.append(child)

    async def close(self) -> None:
        """Ends them all, and waits until they are gone."""
        for task in self._leaving:
            task.cancel()
        idle, self._idle = self._idle, []
        for child in self._all - set(idle):
            child.kill()
        await asyncio.gather(*map(self._leave, idle))
        for child in self._all:
            await child.over()
        self._all.clear()

    def _free(self) -> Child | None:
        """A worker that waits for a turn; what it has said unasked belongs to no turn, and ends it."""
        while self._idle:
            child = self._idle.pop()
            if child.listen():
                return child
            _log.warning("%s: a worker ended or spoke between its turns; another one takes its place", self._name)
            child.kill()
        return None

    async def _start(self) -> Child:
        try:
            child = await start(Command(self._command, self._name, longest=LONGEST))
        except OSError as problem:
            if problem.errno in _NO_ROOM:
                raise AgentUnavailable(f"{self._command[0]} cannot be started: {problem.strerror}") from None
            hint = _HINTS.get(problem.errno or 0, "")
            raise RemoteFailed(f"{self._command[0]} cannot be started: {problem.strerror}{hint}") from None
        self._all = {one for one in self._all if not one.is_over} | {child}
        return child

    async def _replace(self) -> None:
        """A worker for one that was lost, so that no turn has to wait for its start."""
        try:
            self._idle.append(await self._start())
        except (AgentUnavailable, RemoteFailed) as problem:
            _log.warning("%s", problem)  # the next turn tries again

    async def _leave(self, child: Child) -> None:
        """Lets a process end by itself, for a while."""
        child.close_input()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAVING):
                    if code := await child.exit_code():
                        _log.warning("%s: it ended with %s after its reply", self._name, ended_with(code))
        finally:
            child.kill()
