"""Keeps child processes running: started together, restarted when they crash, stopped together."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from greenroom.cli.process import on_hangup
from greenroom.cli.watch import Changes

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 1.0
FORGOTTEN_AFTER = 5.0
_LOOK_EVERY = 0.3
KILL_AFTER = 5.0
"""Seconds beyond the drain timeout after which a child that has not ended is killed."""


class ChildFailed(Exception):
    """A child ended before it was ever ready. It has said why itself."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} could not start")
        self.code = code if code > 0 else 1


class Watching(Protocol):
    """What knows the children's files."""

    def changes(self) -> Changes | None:
        """Those that have changed since the last time; None for none."""
        ...


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A child: `command ROLE DESCRIPTOR`, told what to do by one line of JSON on its standard input, which then stays open
    as long as the supervisor lives. It writes its addresses to the descriptor when it is ready, one line of JSON too."""

    role: str
    document: Callable[[], Mapping[str, Any]]
    """What it is told, anew at each start."""
    descriptors: Sequence[int] = ()
    """Open files that it inherits."""
    started: Callable[[Mapping[str, Any]], None] = lambda _addresses: None
    """Called with the addresses it reports, at each start."""
    reloads: bool = False
    """Whether it reads its files again on SIGHUP."""
    patient: bool = False
    """Whether one that cannot start is started again when a file has changed, and not before."""
    command: Sequence[str] = (sys.executable, "-m", "greenroom.cli.child")


class Child:
    """One child process and its restarts."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._up = False
        """Whether the process that runs now has been ready: before it is, a signal may end it."""
        self._came_up = False
        """Whether it has been, or the one before it where none runs."""
        self._reload = False
        self._restart = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`. Raises `ChildFailed` when the first start fails, unless it is patient; later crashes are restarted."""
        pause = 0.0
        while not self._stopping:
            begun = asyncio.get_running_loop().time()
            code = await self._run_once()
            if self._spec.patient and not self._came_up and not self._restart.is_set() and not self._stopping:
                logger.error("%s cannot start; it waits for a change of a file", self._spec.role)
                await self._restart.wait()
            if self._stopping:
                return
            if self._restart.is_set():
                continue
            if not self._ready.is_set():
                raise ChildFailed(self._spec.role, code)
            if asyncio.get_running_loop().time() - begun >= FORGOTTEN_AFTER:
                pause = 0.0
            logger.error("%s ended unexpectedly (%s); starting it again", self._spec.role, _how(code))
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2 or 0.1)

    async def wait_ready(self) -> None:
        """Until it has been ready once."""
        await self._ready.wait()

    async def stop(self, timeout: float) -> bool:
        """Asks it to end and waits; kills it after `timeout` seconds. Whether it ended by itself."""
        self._stopping = True
        self._restart.set()
        return await self._end(timeout)

    async def restart(self, timeout: float) -> None:
        """Has it end as `stop` does, and starts it again."""
        if self._spec.patient:
            self._restart.set()
            await self._end(timeout)

    async def _end(self, timeout: float) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            return True
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout):
                return await process.wait() == 0
        except TimeoutError:
            logger.error("%s did not stop in %g s and was killed", self._spec.role, timeout)
            _signal(process, signal.SIGKILL)
            return False

    def reload(self) -> None:
        """Has it read its files again, as soon as it is up."""
        if self._spec.reloads:
            self._reload = True
            self._pass_on()

    def _pass_on(self) -> None:
        if self._reload and self._up and self._process is not None:
            self._reload = False
            _signal(self._process, signal.SIGHUP)

    def kill(self) -> None:
        self._stopping = True
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)

    async def _run_once(self) -> int:
        self._came_up = False
        self._restart.clear()
        reader, writer = os.pipe()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._spec.command,
                self._spec.role,
                str(writer),
                stdin=subprocess.PIPE,
                pass_fds=(writer, *self._spec.descriptors),
                # a terminal's Ctrl-C is for the supervisor alone, which stops its children in order
                start_new_session=True,
            )
        finally:
            os.close(writer)
        reports = asyncio.create_task(self._read_reports(reader))
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(dict(self._spec.document())).encode() + b"\n")
            if self._stopping or self._restart.is_set():
                _signal(process, signal.SIGTERM)
            return await process.wait()
        finally:
            self._up = False
            reports.cancel()

    async def _read_reports(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            if line := await stream.readline():
                self._spec.started(json.loads(line))
                self._ready.set()
                self._up = self._came_up = True
                self._pass_on()
        finally:
            transport.close()


async def supervise(
    specs: Sequence[ChildSpec], *, ready: Callable[[], None], drain_timeout: float, watch: Watching | None = None
) -> bool:
    """Runs the children until SIGTERM or SIGINT; `ready` is called once all are. Whether all ended in good order.

    A second signal kills them; SIGHUP is passed on to those that it is for. What `watch` sees change restarts the patient
    ones, or is read again. Raises `ChildFailed`."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    children = [Child(spec) for spec in specs]

    def asked_to_stop() -> None:
        if stop.is_set():
            for child in children:
                child.kill()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)

    def reload() -> None:
        for child in children:
            child.reload()

    on_hangup(reload)
    runs = [asyncio.create_task(child.run()) for child in children]
    stopped = asyncio.create_task(stop.wait())
    aside = [asyncio.create_task(_all_ready(children, ready))]
    if watch is not None:
        aside.append(asyncio.create_task(_follow(watch, children, drain_timeout + KILL_AFTER)))
    try:
        await asyncio.wait([stopped, *runs], return_when=asyncio.FIRST_COMPLETED)
        outcomes = await asyncio.gather(*(child.stop(drain_timeout + KILL_AFTER) for child in children))
        await asyncio.gather(*runs)
        return all(outcomes)
    finally:
        for task in (*aside, stopped):
            task.cancel()
        for child in children:
            child.kill()


async def _all_ready(children: Sequence[Child], ready: Callable[[], None]) -> None:
    for child in children:
        await child.wait_ready()
    ready()


async def _follow(watch: Watching, children: Sequence[Child], timeout: float) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        changes = await asyncio.to_thread(watch.changes)
        if changes is None:
            continue
        if changes.settings:
            logger.warning("%s has changed: it counts when the server is started again", _names(changes.settings))
        if changes.others:
            logger.info("%s has changed: starting the agents again", _names(changes.others))
            await asyncio.gather(*(child.restart(timeout) for child in children))
        elif changes.scenarios:
            logger.info("%s has changed: reading the scenarios again", _names(changes.scenarios))
            for child in children:
                child.reload()


def _names(paths: Sequence[Path]) -> str:
    here = Path.cwd()
    return ", ".join(str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            process.send_signal(number)
        except ProcessLookupError:
            logger.debug("process %d has ended already", process.pid)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
