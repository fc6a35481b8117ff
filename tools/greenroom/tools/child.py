"""A process that speaks in lines: what it writes is read no faster than it is taken, and it goes with all it has started."""

import asyncio
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO

from greenroom.tools.excerpt import shortened

_UNREAD = 256 * 1024
"""Bytes that may wait here before the process has to."""

_LINGER = 1.0
"""Seconds after its end for which somebody else may keep its output open."""

_COMPLAINTS = 100
"""Lines of its standard error in the log between two calls of `listen`."""

_COMPLAINT = 4 * 1024

_OUTPUTS = ("stdout", "stderr")

_WATCHMAN = 'read -r _; kill -s KILL -- "-$1"'
"""Waits, as a shell, until nobody holds the other end of its input: the host is gone, however it went."""

_log = logging.getLogger(__name__)


class LineTooLong(Exception):
    """A process wrote a line that is longer than its host takes; it has been killed for that."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how.

    `name` is what the log calls it. `longest` is how many bytes a line may have. `environment` None: that of its host. With
    `watched` it ends with its host even where that is killed and it does not mind the end of its input, at the price of a
    shell that waits beside it. `hide` takes secrets out of what it complains.
    """

    words: Sequence[str]
    name: str
    longest: int
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    watched: bool = False
    hide: Callable[[str], str] = str


class _Pipe(asyncio.Protocol):
    """One end of a pipe, for the loop."""

    def __init__(self, taken: Callable[[bytes], None], lost: Callable[["_Pipe"], None]) -> None:
        self._taken = taken
        self._lost = lost
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._taken(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._lost(self)


class Child:
    """Made by `start`.

    It does not use the loop's own subprocesses: uvloop forks, which takes longer the more memory the core has, and which gRPC
    does not like in a process with its threads; `Popen` does neither.
    """

    def __init__(self, process: "Popen[bytes]", command: Command) -> None:
        self._process = process
        self._command = command
        self._watchman = _watch_over(process.pid) if command.watched else None
        self._loop = asyncio.get_running_loop()
        self._input = _Pipe(lambda _: None, self._lost)
        self._output = _Pipe(self._take, self._lost)
        self._errors = _Pipe(self._complain, self._lost)
        self._writing: asyncio.WriteTransport | None = None
        self._reading: list[asyncio.ReadTransport] = []
        self._may_be_killed = True
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        """Bytes in `_lines`."""
        self._rest = bytearray()
        """The line that is not at its end yet."""
        self._complaint = bytearray()
        self._complaints = 0
        self._last_words = b""
        self._more = asyncio.Event()
        self._output_over = False
        self._paused = False
        self._exited = asyncio.Event()
        self._over = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        self._too_long = False

    async def connect(self) -> None:
        """Once, before all else."""
        process, loop = self._process, self._loop
        assert process.stdin is not None
        threading.Thread(target=self._watch, name="greenroom-child", daemon=True).start()
        writing, _ = await loop.connect_write_pipe(lambda: self._input, process.stdin)
        self._writing = writing
        for pipe, name in zip((self._output, self._errors), _OUTPUTS, strict=True):
            reading, _ = await loop.connect_read_pipe(lambda pipe=pipe: pipe, getattr(process, name))  # type: ignore[misc]
            self._reading.append(reading)

    # What its host does

    def send(self, data: bytes) -> None:
        """Writes to it; to one that does not read any longer, nothing."""
        if self._writing is not None and self._input.is_open:
            self._writing.write(data)

    @property
    def unread(self) -> int:
        """How many bytes of what was sent it has not read yet, beside those in the pipe."""
        return 0 if self._writing is None else self._writing.get_write_buffer_size()

    def close_input(self) -> None:
        """There is nothing more to read for it."""
        if self._writing is not None:
            self._writing.close()

    async def line(self) -> bytes | None:
        """The next line, without its end; None when there will be none. Raises `LineTooLong`."""
        while not self._lines and not self._output_over:
            self._more.clear()
            await self._more.wait()
        if not self._lines:
            if self._too_long:
                raise LineTooLong(f"it wrote a line of more than {self._command.longest} bytes")
            return None
        line = self._lines.popleft()
        self._waiting -= len(line)
        if self._paused and self._waiting <= _UNREAD:
            self._paused = False
            self._reading[0].resume_reading()
        return line

    async def exit_code(self) -> int:
        """What it ended with, once it has; a signal's number below zero."""
        await self._exited.wait()
        return self._process.returncode

    @property
    def last_words(self) -> str:
        """The last line of its standard error that says something."""
        return self._told(self._last_words)

    def listen(self) -> bool:
        """Something new begins. Whether it is there for that: it runs, and has said nothing since. It may complain anew."""
        self._complaints = 0
        return not (self._exited.is_set() or self._output_over or self._lines or self._rest)

    def kill(self) -> None:
        """Ends it and all it has started, at once."""
        if self._may_be_killed:
            _kill_group(self._process.pid)

    async def over(self) -> None:
        """Until nothing of it is left."""
        await self._over.wait()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    # What becomes of it

    def _watch(self) -> None:
        """In a thread of its own, until it has ended. Its number is another process's as soon as its end is taken note of:
        what it leaves behind is killed before that, where the machine can tell the two apart."""
        number = self._process.pid
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)
            self._dismiss_watchman()
            self._may_be_killed = False
            _kill_group(number)
            self._process.wait()
        else:
            self._process.wait()
            self._dismiss_watchman()
            self._may_be_killed = False
            _kill_group(number)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._ended)

    def _dismiss_watchman(self) -> None:
        """Before the number of what he watches can be another process's."""
        if self._watchman is not None:
            self._watchman.kill()
            self._watchman.wait()
            assert self._watchman.stdin is not None
            self._watchman.stdin.close()

    def _ended(self) -> None:
        self._exited.set()
        self._lingering = self._loop.call_later(_LINGER, self.abandon)
        self._check_over()

    def _lost(self, pipe: _Pipe) -> None:
        if pipe is self._output:
            self._end_output()
        elif pipe is self._errors and self._complaint:
            self._complain(b"\n")
        self._check_over()

    def _check_over(self) -> None:
        if self._exited.is_set() and not (self._output.is_open or self._errors.is_open):
            self.close_input()
            if self._lingering is not None:
                self._lingering.cancel()
            if not self._input.is_open:
                self._over.set()

    def abandon(self) -> None:
        """Closes what connects it with its host, whatever is still on its way."""
        writing = self._writing
        # one that is closing ends by itself, unless it still has something to write
        if (
            writing is not None
            and self._input.is_open
            and (not writing.is_closing() or writing.get_write_buffer_size())
        ):
            writing.abort()
        for reading in self._reading:
            reading.close()
        # where one could not be connected, the loop closes that pipe, and nobody has those after it
        first = 0 if self._writing is None else len(self._reading) + 1
        _close(*[getattr(self._process, name) for name in _OUTPUTS[first:]])

    # How lines are made

    def _take(self, data: bytes) -> None:
        if self._output_over:
            return
        *whole, rest = data.split(b"\n")
        for piece in whole:
            line = bytes(self._rest + piece) if self._rest else piece
            self._rest.clear()
            self._waiting += len(line)
            self._lines.append(line)
        self._rest += rest
        if len(self._rest) > self._command.longest:
            self._too_long = True
            self._rest.clear()
            self._end_output()
            self.kill()
        elif self._waiting > _UNREAD and not self._paused:
            self._paused = True
            self._reading[0].pause_reading()
        self._more.set()

    def _end_output(self) -> None:
        if self._rest:  # what is written last need not end its line
            self._lines.append(bytes(self._rest))
            self._rest.clear()
        self._output_over = True
        self._more.set()

    def _complain(self, data: bytes) -> None:
        *lines, rest = bytes(self._complaint + data).split(b"\n")
        if len(rest) > _COMPLAINT:
            lines, rest = [*lines, rest], b""
        self._complaint[:] = rest
        for line in lines:
            self._complaints += 1
            self._last_words = line if line.strip() else self._last_words
            if self._complaints <= _COMPLAINTS:
                _log.info("%s: %s", self._command.name, self._told(line))
            elif self._complaints == _COMPLAINTS + 1:
                _log.info("%s: it says more, which is dropped", self._command.name)

    def _told(self, line: bytes) -> str:
        return self._command.hide(shortened(line.decode(errors="replace")))


def ended_with(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


async def start(command: Command) -> Child:
    """A new process, in a group of its own. Raises `OSError`."""
    process = _spawn(command)
    try:
        child = Child(process, command)
    except BaseException:
        _kill_group(process.pid)
        _close(process.stdin, process.stdout, process.stderr)
        raise
    # To its end whatever becomes of the caller: a pipe that is given up while the loop takes it over is closed twice by uvloop.
    connecting = asyncio.ensure_future(child.connect())
    try:
        await asyncio.shield(connecting)
    except BaseException:
        child.kill()
        connecting.add_done_callback(lambda _: child.abandon())
        raise
    return child


def _close(*files: IO[bytes] | None) -> None:
    for file in files:
        if file is not None:
            file.close()


def _spawn(command: Command) -> "Popen[bytes]":
    """Holds the loop up until the program is loaded: a millisecond, and a thread of its own would hold it up as long."""
    return Popen(
        command.words,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        bufsize=0,
        cwd=command.folder,
        env=command.environment,
        start_new_session=True,
    )


def _watch_over(group: int) -> "Popen[bytes]":
    words = ["/bin/sh", "-c", _WATCHMAN, "sh", str(group)]
    return Popen(words, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, bufsize=0, start_new_session=True)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in it
        os.killpg(leader, signal.SIGKILL)
