"""The connections to one MCP server."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from mcp.types import Tool

from greenroom.sdk import ToolError
from greenroom.tools.mcp.answer import failure_in, result_of
from greenroom.tools.mcp.connection import Connection, Door
from greenroom.tools.mcp.fault import Lost, Refused, failed_call

_SOON = 5.0
"""Seconds that a call waits for a connection that is being made."""

_PATIENCE = 30.0
"""Seconds for a server to start and to say what it has."""


class Pool:
    """Each call goes where the fewest are in flight. Made on the loop that it is used on; `listed` is what a `Connection`
    tells the tools."""

    def __init__(
        self,
        name: str,
        door: Door,
        connections: int,
        hide: Callable[[str], str],
        listed: Callable[[Sequence[Tool], Mapping[str, str]], None],
    ) -> None:
        self._name = name
        self._hide = hide
        self._moved = asyncio.Event()
        self._all = [Connection(name, door, _PATIENCE, self._move, listed) for _ in range(connections)]

    async def settle(self, seconds: float) -> None:
        """Until each connection is made or has failed, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while not all(one.is_settled for one in self._all):
                    await self._moved.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self._all))

    @property
    def trouble(self) -> str:
        """What keeps connections from being there; "" for nothing."""
        down = [one.trouble for one in self._all if not one.is_up]
        if not down:
            return ""
        some = "" if len(down) == len(self._all) else f"{len(down)} of {len(self._all)} connections are down: "
        return self._hide(some + down[0])

    async def call(self, tool: str, arguments: dict[str, Any], meta: Mapping[str, Any], most: int) -> Any:
        """What the tool answers, in `most` bytes of JSON at most. Raises `ToolError`, whose message holds no secret."""
        try:
            answer = await self._asked(tool, arguments, meta)
            if answer.is_error:
                raise ToolError(f"{self._name}: {failure_in(answer)}")
            result = result_of(answer)
            if (size := len(msgspec.json.encode(result))) > most:
                raise ToolError(f"{self._name} answered with {size} bytes; {most} are taken", code="too_large")
        except ToolError as error:
            raise ToolError(self._hide(str(error)), code=error.code) from None
        return result

    async def _asked(self, tool: str, arguments: dict[str, Any], meta: Mapping[str, Any]) -> Any:
        connection = await self._free()
        try:
            try:
                return await connection.call(tool, arguments, meta)
            except Lost:  # a server that was started anew, which knows neither us nor the call
                connection = await self._free()
                return await connection.call(tool, arguments, meta)
        except Lost:
            raise self._unavailable(connection.trouble) from None
        except Exception as error:  # whatever the SDK raises of an answer of anybody's
            if isinstance(error, Refused):
                raise failed_call(error, self._name) from None
            if not connection.is_up:
                message = f"{self._name} went away before it had answered: {connection.trouble}"
                raise ToolError(message, code="unavailable") from None
            raise failed_call(error, self._name) from None

    async def _free(self) -> Connection:
        """Raises `ToolError` when there is none, and none is being made."""
        try:
            async with asyncio.timeout(_SOON):
                while True:
                    if up := [one for one in self._all if one.is_up]:
                        return min(up, key=lambda one: one.calls)
                    if all(one.is_settled for one in self._all):
                        raise self._unavailable(self._all[0].trouble)
                    await self._moved.wait()
        except TimeoutError:
            raise self._unavailable(self._all[0].trouble) from None

    def _unavailable(self, trouble: str) -> ToolError:
        return ToolError(f"{self._name} is not available: {trouble}", code="unavailable")

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
