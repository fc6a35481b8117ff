"""The way to a server behind a URL."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

LONGEST = 16 * 1024 * 1024
"""Bytes of an answer."""
TOO_LONG = f"it answers with more than {LONGEST} bytes"

_CONNECTING = 10.0
_HURRY = 2.0
_NOTICE = 4096
"""Bytes that a notice of ours has at most."""


STATUSES: ContextVar[list[int] | None] = ContextVar("greenroom_mcp_statuses", default=None)
"""Holds the status of the last answer to what was sent in a context: the SDK tells that there was an error, not which."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`headers` go out with every request."""

    url: str
    headers: Mapping[str, str]


@asynccontextmanager
async def over_http(endpoint: Endpoint) -> AsyncIterator[tuple[Any, Any]]:
    """A transport of the SDK's."""
    client = httpx2.AsyncClient(
        headers=dict(endpoint.headers),
        # An answer may take as long as its call may: that is bounded, and a stream of notices may say nothing for hours.
        timeout=httpx2.Timeout(None, connect=_CONNECTING, write=_CONNECTING),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        event_hooks={"request": [_hurry], "response": [_look]},
    )
    async with client, streamable_http_client(endpoint.url, http_client=client, max_sse_event_size=LONGEST) as streams:
        yield streams


async def _hurry(request: httpx2.Request) -> None:
    """What nobody waits for is not to hold up what comes after it: taking leave, and notices, which have no id."""
    is_notice = request.method == "POST" and len(request.content) < _NOTICE and "id" not in json.loads(request.content)
    if is_notice or request.method == "DELETE":
        request.extensions = {**request.extensions, "timeout": httpx2.Timeout(_HURRY).as_dict()}


async def _look(response: httpx2.Response) -> None:
    if (statuses := STATUSES.get()) is not None and response.request.method == "POST":
        statuses[:] = [response.status_code]
    if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails when it gets too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > LONGEST:
                raise TooLong(TOO_LONG)
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class TooLong(httpx2.StreamError):
    """An answer passed its bound: of this kind, so that the SDK fails the one call with it."""
