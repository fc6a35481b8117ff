"""What a server sends us, before the SDK reads it."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCResponse
from mcp.types.version import LATEST_HANDSHAKE_VERSION

from greenroom.tools.mcp.entry import mistake_in

Item = SessionMessage | Exception


class Inbound:
    """A transport's stream of what comes in. It says when that has ended, and takes out of lists of tools what the SDK would
    refuse the whole list for."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended
        self.version = LATEST_HANDSHAKE_VERSION
        """What was agreed on with the server."""
        self.refused: dict[str, str] = {}
        """The tools that were taken out, and why."""
        self._looked_at: dict[str, tuple[Any, str]] = {}

    @property
    def last_context(self) -> Any:
        """Whose message it was: the SDK's own transports say so."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Item:
        try:
            item: Item = await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended()
            raise
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse):
            self._sift(item.message.result)
        return item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _sift(self, result: dict[str, Any]) -> None:
        listed = result.get("tools")
        if not isinstance(listed, list) or "content" in result:
            return
        kept: list[Any] = []
        for number, entry in enumerate(listed, 1):
            name = entry.get("name") if isinstance(entry, dict) else None
            name = name if isinstance(name, str) and name else f"the {number}. tool"
            before, wrong = self._looked_at.get(name, (None, ""))
            if before != entry:
                wrong = mistake_in(entry, self.version)
                self._looked_at[name] = (entry, wrong)
            if wrong:
                self.refused[name] = wrong
            else:
                kept.append(entry)
        result["tools"] = kept
