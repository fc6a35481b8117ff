"""The way to a server that is a program: JSON lines on its standard input and output."""

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import PARSE_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

from greenroom.tools.child import Child, Command, LineTooLong, ended_with, start
from greenroom.tools.excerpt import shortened
from greenroom.tools.mcp.fault import Lost

LONGEST = 16 * 1024 * 1024
"""Bytes of a message. A longer one cannot be told apart from one that never ends."""

_LEAVING = 2.0
"""Seconds for a server to end by itself once its input has."""

_ENDING = 1.0
"""Seconds to learn what a server ended with that says nothing any more."""

_QUOTED = 200
"""Letters of an answer that is none."""

_AGAIN = 60.0
"""Seconds after which it may complain anew."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """A server's program: `environment` is beside what the SDK passes on, `folder` is where it runs."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None


@asynccontextmanager
async def over_stdio(
    program: Program, name: str, hide: Callable[[str], str], lost: Callable[[str], None]
) -> AsyncIterator[tuple["_Reading", "_Writing"]]:
    """A transport of the SDK's. `lost` is told why the server is not there any more, ahead of the end of its stream."""
    child = await start(_command(program, name, hide))
    try:
        yield _Reading(child, name, hide, lost), _Writing(child, lost)
    finally:
        child.close_input()
        try:
            async with asyncio.timeout(_LEAVING):
                await child.exit_code()
        except TimeoutError:
            _log.info("%s: it goes on without its input, and is ended", name)
        finally:
            child.kill()
        await child.over()


def _command(program: Program, name: str, hide: Callable[[str], str]) -> Command:
    """Raises `Lost` where there is no such program."""
    environment = get_default_environment() | dict(program.environment)
    word, *others = program.words
    if "/" in word:
        found = shutil.which(str((program.folder or Path()) / word))
    else:
        found = shutil.which(word, path=environment.get("PATH"))
    if found is None:
        first, *rest = word.split()
        hint = f"; with its arguments it is {json.dumps([first, *rest])}" if rest and not others else ""
        raise Lost(f"there is no program {word}{hint}")
    words = [str(Path(found).absolute()), *others]
    return Command(words, name, LONGEST, environment, program.folder, watched=True, hide=hide)


class _Reading:
    """What the server says: for an `Inbound`."""

    def __init__(self, child: Child, name: str, hide: Callable[[str], str], lost: Callable[[str], None]) -> None:
        self._child = child
        self._name = name
        self._hide = hide
        self._lost = lost
        self._nonsense = 0

    async def receive(self) -> SessionMessage | Exception:
        while True:
            try:
                line = await self._child.line()
            except LineTooLong as problem:
                self._lost(str(problem))
                raise anyio.EndOfStream from None
            if line is None:
                self._lost(await self._end())
                raise anyio.EndOfStream
            try:
                return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
            except ValueError:
                answered = _id_in(line)
                if answered is None:
                    self._skip(line)
                    continue
                told = self._hide(shortened(line[:1000].decode(errors="replace"), _QUOTED))
                error = ErrorData(code=PARSE_ERROR, message=f"Failed to parse its answer: {told}")
                return SessionMessage(JSONRPCError(jsonrpc="2.0", id=answered, error=error))

    def _skip(self, line: bytes) -> None:
        """What its own code prints there goes on to the log, as its standard error does."""
        if line.strip():
            self._nonsense += 1
            text = self._hide(shortened(line[:1000].decode(errors="replace")))
            level = logging.WARNING if self._nonsense == 1 else logging.DEBUG
            _log.log(level, "%s: it wrote to its standard output what is no message: %s", self._name, text)

    async def _end(self) -> str:
        try:
            async with asyncio.timeout(_ENDING):
                end = f"it ended with {ended_with(await self._child.exit_code())}"
        except TimeoutError:
            return "it closed its standard output"
        with suppress(TimeoutError):  # what it complained may still be on its way
            async with asyncio.timeout(_ENDING):
                await self._child.over()
        words = self._child.last_words
        return f"{end}; its last words: {words}" if words else end

    async def aclose(self) -> None:
        """Its process is closed with the transport."""


def _id_in(line: bytes) -> str | int | None:
    """Which request it answers, if it is meant to: what is wrong with it is then that request's affair."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or "method" in message:
        return None
    answered = message.get("id")
    return answered if isinstance(answered, str | int) else None


class _Writing:
    """What is said to the server."""

    def __init__(self, child: Child, lost: Callable[[str], None]) -> None:
        self._child = child
        self._lost = lost
        self._since = monotonic()

    async def send(self, item: SessionMessage, /) -> None:
        if self._child.unread > LONGEST:
            self._lost("it does not read what it is sent")
            raise anyio.BrokenResourceError
        now = monotonic()
        if now - self._since > _AGAIN:
            self._since = now
            self._child.listen()
        self._child.send(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async def aclose(self) -> None:
        """Its process is closed with the transport."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
