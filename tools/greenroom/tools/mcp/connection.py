"""One connection to an MCP server, for as long as the core runs: when it is lost, another one takes its place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
from mcp import Client, MCPError
from mcp.client import Transport
from mcp.client.subscriptions import SubscriptionLost
from mcp.types import CallToolResult, Implementation, RequestParamsMeta, Tool, ToolListChangedNotification
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from greenroom.tools.mcp.fault import Lost, Refused, is_over, refusal, why_lost
from greenroom.tools.mcp.http import STATUSES
from greenroom.tools.mcp.inbound import Inbound

Door = Callable[[Callable[[str], None]], AbstractAsyncContextManager[tuple[Any, Any]]]
"""Opens a transport. What it is given takes the reason for which the server is not there any more."""

_CHECK = 60.0
"""Seconds after which an idle server is asked what it has: not all of them tell when that changes, or that they are gone."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY = 5.0
"""Seconds for which a connection has held when the next one is made at once."""

_ENDING = 10.0
"""Seconds for taking leave, all in all: who waits is the core, which wants to end."""

_PAGES = 100

_log = logging.getLogger(__name__)


class Connection:
    """One task owns all that the SDK opens; calls of any task run over it.

    `moved` is called whenever `is_up` or `is_settled` may have changed, `listed` with the server's tools and what was left
    out of them. `patience` is how many seconds the server has to answer what is asked about itself.
    """

    def __init__(
        self,
        name: str,
        door: Door,
        patience: float,
        moved: Callable[[], None],
        listed: Callable[[Sequence[Tool], Mapping[str, str]], None],
    ) -> None:
        self._name = name
        self._door = door
        self._patience = patience
        self._moved = moved
        self._listed = listed
        self._closing = False
        self._client: Client | None = None
        self._inbound: Inbound | None = None
        self._reason = ""
        """Why the one that is open is of no use any more."""
        self._wake = asyncio.Event()
        self.trouble = "it is not connected yet"
        """Why there is none; "" while there is one."""
        self.is_settled = False
        """Whether there is one, or the last attempt has failed: nothing is gained by waiting."""
        self.calls = 0
        """How many are in flight."""
        self._task = asyncio.create_task(self._stay(), name=f"greenroom-{name}")

    @property
    def is_up(self) -> bool:
        return self._client is not None

    async def close(self) -> None:
        self._closing = True
        self._task.cancel()
        _, left = await asyncio.wait([self._task], timeout=_ENDING)
        if left:
            _log.warning("%s: the connection does not end", self._name)

    async def call(self, tool: str, arguments: dict[str, Any], meta: Mapping[str, Any]) -> CallToolResult:
        """Raises `Lost` where the server has not looked at the call and another connection may serve it, `Refused`, and what
        the SDK raises."""
        if self._client is None:
            raise Lost(self.trouble)
        self.calls += 1
        statuses: list[int] = []
        before = STATUSES.set(statuses)
        try:
            return await self._client.call_tool(tool, arguments, meta=cast("RequestParamsMeta", meta))
        except MCPError as error:
            if is_over(error):
                self.lose("it does not know our session any more")
                raise Lost(self.trouble) from None
            if refused := refusal(error, statuses):
                if statuses == [401]:
                    self.lose(refused)
                raise Refused(refused) from None
            raise
        finally:
            STATUSES.reset(before)
            self.calls -= 1

    def lose(self, reason: str) -> None:
        """It is of no use any more."""
        self._reason = self._reason or reason
        if self._client is not None:
            self._client = None
            self.trouble = self._reason
            self.is_settled = False
            self._moved()
        self._wake.set()

    async def _stay(self) -> None:
        pause = 0.0
        clock = asyncio.get_running_loop()
        while not self._closing:
            since = clock.time()
            was_up = await self._attempt()
            steady = was_up and clock.time() - since > _STEADY
            pause = 0.0 if steady else min(max(_FIRST_PAUSE, pause * 2), _LONGEST_PAUSE)
            self.is_settled = not was_up
            self._moved()
            await asyncio.sleep(pause)

    async def _attempt(self) -> bool:
        """Connects, and returns when that has failed or the connection is lost; whether there was one."""
        self._reason = ""
        self._wake.clear()
        statuses: list[int] = []
        STATUSES.set(statuses)
        was_up = False
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._patience):
                    client = await stack.enter_async_context(self._made())
                    await self._list(client)
                was_up = True
                self._client = client
                self.trouble = ""
                self.is_settled = True
                self._moved()
                _log.info("%s: connected", self._name)
                await self._keep(client, stack)
        except Exception as error:  # whatever the SDK raises of a server that does anything: this task is where it ends
            self.lose(refusal(error, statuses) or why_lost(error, self._patience))
            if self.trouble != self._reason or was_up:
                _log.warning("%s: %s", self._name, self._reason)
            self.trouble = self._reason
        finally:
            self._client = None
        return was_up

    def _made(self) -> Client:
        return Client(
            self._transport(),
            cache=None,
            message_handler=self._hear,
            client_info=Implementation(name="greenroom", version="1"),
        )

    def _transport(self) -> Transport:
        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple[Any, Any]]:
            async with self._door(self.lose) as (reading, writing):
                self._inbound = Inbound(reading, lambda: self.lose("the connection ended"))
                yield self._inbound, writing

        return opened()

    async def _keep(self, client: Client, stack: AsyncExitStack) -> None:
        """Until it is lost. Raises `Lost`."""
        tools = client.server_capabilities.tools
        if client.protocol_version in MODERN_PROTOCOL_VERSIONS and tools is not None and tools.list_changed:
            group = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(group.cancel_scope.cancel)
            group.start_soon(self._listen, client)
        while True:
            try:
                async with asyncio.timeout(_CHECK):
                    await self._wake.wait()
            except TimeoutError:
                if self.calls:
                    continue  # it works: one that does one thing at a time would not answer
            if self._reason:
                raise Lost(self._reason)
            self._wake.clear()
            async with asyncio.timeout(self._patience):
                await self._list(client)

    async def _hear(self, message: object) -> None:
        """What a server tells unasked, up to 2025."""
        if isinstance(message, ToolListChangedNotification):
            self._wake.set()

    async def _listen(self, client: Client) -> None:
        """What a server tells who has asked for it, from 2026 on."""
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    self._wake.set()  # what has changed before is not told
                    async for _ in changes:
                        self._wake.set()
            except (MCPError, SubscriptionLost):
                _log.debug("%s: it tells no changes", self._name)
            await asyncio.sleep(_CHECK)

    async def _list(self, client: Client) -> None:
        assert self._inbound is not None
        self._inbound.version = client.protocol_version
        self._inbound.refused.clear()
        tools: list[Tool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                self._listed(tools, dict(self._inbound.refused))
                return
        raise Lost(f"its list of tools has more than {_PAGES} pages")
