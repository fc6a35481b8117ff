"""The operations of an OpenAPI document as tools."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from greenroom.sdk import AgentError, Call, Tool, ToolError, ToolSource
from greenroom.tools.http.credentials import Missing
from greenroom.tools.http.server import Request, Server
from greenroom.tools.openapi.document import Document, read_document
from greenroom.tools.openapi.offer import Offer, Offered, Wish, offer_of

_log = logging.getLogger(__name__)

_AT_START = 5.0
"""Seconds that the start waits for a document."""
PATIENCE = 30.0
"""Seconds that a document may take, however short its operations' calls are."""
_LONGEST = 64 * 1024 * 1024
"""Bytes of a document; there are some of 12 MB and more."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class OpenApiSource(ToolSource):
    """`document` is one that was read, or the address of one: it is fetched when the source is started, again and again until
    there is one. Of results longer than `max_bytes` only the beginning is given."""

    def __init__(
        self,
        server: Server,
        document: Document | str,
        wish: Wish,
        *,
        fetch: Server | None = None,
        max_bytes: int = 65536,
    ) -> None:
        self._server = server
        self._fetch = fetch or server
        self._wish = wish
        self._max_bytes = max_bytes
        self._address = document if isinstance(document, str) else ""
        self._tools: tuple[Tool[..., Any], ...] = ()
        self._problem = "its document has not been read yet"
        self._fetching: asyncio.Task[None] | None = None
        if isinstance(document, Document):
            self._take(offer_of(document, wish, ""))

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        return self._tools

    def problem(self) -> str:
        return "; ".join(filter(None, (self._problem, self._server.problem)))

    async def startup(self) -> None:
        await self._server.open()
        if self._address and not self._tools:
            await self._fetch.open()
            self._fetching = asyncio.create_task(self._fetched())
            await asyncio.wait([self._fetching], timeout=_AT_START)

    async def shutdown(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await self._fetching
            self._fetching = None
            await self._fetch.close()
        await self._server.close()

    async def _fetched(self) -> None:
        """Returns when the document is there."""
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = await self._fetch.ask(Request("GET", self._address), PATIENCE, _LONGEST)
                if not answer.is_whole:
                    raise AgentError(f"it has more than {_LONGEST} bytes")
                if answer.status >= 300:
                    raise AgentError(f"{answer.status} {answer.quote:.200}")
                self._take(await asyncio.to_thread(self._read, answer.body))
            except (AgentError, ToolError) as problem:
                why = self._fetch.hidden(str(problem).removeprefix(f"{self.name}: "))
                self._problem = f"its document {self._address}: {why}"
            else:
                _log.info("tools of %s: %d operations of %s", self.name, len(self._tools), self._address)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _read(self, body: bytes) -> Offer:
        return offer_of(read_document(body), self._wish, self._address)

    def _take(self, offer: Offer) -> None:
        self._server.hide(
            key for one in offer.tools if not isinstance(one.credentials, Missing) for key in one.credentials
        )
        self._tools = tuple(_Called(self._server, one, self._max_bytes).tool() for one in offer.tools)
        self._problem = offer.problem


class _Called:
    """An operation that is called."""

    def __init__(self, server: Server, offered: Offered, max_bytes: int) -> None:
        self._server = server
        self._offered = offered
        self._max_bytes = max_bytes

    def tool(self) -> Tool[..., Any]:
        operation = self._offered.operation
        schema = operation.parameters.schema
        return Tool.described(self._offered.name, self._call, description=operation.description, parameters=schema)

    async def _call(self, arguments: dict[str, Any], call: Call) -> Any:
        credentials = self._offered.credentials
        if isinstance(credentials, Missing):
            raise ToolError(f"{self._server.name}: {credentials.text}", code="unauthorized")
        request = self._offered.operation.request(arguments).admitted(credentials)
        return (await self._server.call(request, call)).result(None, self._max_bytes)
