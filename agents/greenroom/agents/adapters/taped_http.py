"""What a framework's model clients ask over HTTP, recorded and replayed with the turn that asks it.

Frameworks ask models through clients of many kinds, and nearly all of those through httpx or httpx2. There a turn's requests
are told apart from all others by the context that they are sent in.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from greenroom.sdk import Turn

_LIBRARIES = ("httpx", "httpx2")
_FAILED = 400
_PASSED_ON = ("content-type",)

TURN: ContextVar[Turn | None] = ContextVar("greenroom_taped_turn", default=None)
"""The turn whose requests are recorded or replayed."""


class _NotKept(Exception):
    """An error's answer: it is given to the client, which may ask again, and is no recording."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.response = response


def tape_http() -> None:
    """Has the clients that are there look for a taped turn. What is sent outside one goes its way as before."""
    for name in _LIBRARIES:
        library: Any = sys.modules.get(name)
        if library is None or hasattr(library.AsyncHTTPTransport.handle_async_request, "is_taped"):
            continue
        library.AsyncHTTPTransport.handle_async_request = _taped_async(
            library, library.AsyncHTTPTransport.handle_async_request
        )
        library.HTTPTransport.handle_request = _taped_sync(library, library.HTTPTransport.handle_request)


def _taped_async(library: Any, original: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    @wraps(original)
    async def handle(transport: Any, request: Any) -> Any:
        turn = TURN.get()
        if turn is None:
            return await original(transport, request)

        async def ask() -> dict[str, Any]:
            response = await original(transport, request)
            body = b"".join([part async for part in response.stream])
            await response.stream.aclose()
            return _answer(library, response, body)

        return await _taped(turn, library, request, await request.aread(), ask)

    handle.is_taped = True  # type: ignore[attr-defined]
    return handle


def _taped_sync(library: Any, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(original)
    def handle(transport: Any, request: Any) -> Any:
        turn = TURN.get()
        if turn is None:
            return original(transport, request)

        def sent() -> dict[str, Any]:
            response = original(transport, request)
            body = b"".join(response.stream)
            response.stream.close()
            return _answer(library, response, body)

        async def ask() -> dict[str, Any]:
            return await asyncio.to_thread(sent)

        return turn.wait_for(_taped(turn, library, request, request.read(), ask))

    return handle


async def _taped(
    turn: Turn, library: Any, request: Any, body: bytes, ask: Callable[[], Awaitable[dict[str, Any]]]
) -> Any:
    asked = {"method": request.method, "url": str(request.url), "body": _read(body)}
    try:
        answer = await turn.recorded(request.url.host, asked, ask)
    except _NotKept as failed:
        return failed.response
    return _response(library, answer["status"], answer["headers"], _written(answer["body"]))


def _answer(library: Any, response: Any, body: bytes) -> dict[str, Any]:
    """As it is recorded, its body read and unpacked."""
    headers = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
    whole = library.Response(response.status_code, headers=response.headers, content=body)
    if response.status_code >= _FAILED:
        raise _NotKept(whole)
    return {"status": response.status_code, "headers": headers, "body": _read(whole.content)}


def _response(library: Any, status: int, headers: dict[str, str], body: bytes) -> Any:
    return library.Response(status, headers=headers, content=body)


def _read(body: bytes) -> Any:
    """JSON where it is, else its text: of a stream of events, for instance."""
    text = body.decode(errors="replace")
    try:
        return {"json": json.loads(text)}
    except ValueError:
        return {"text": text}


def _written(body: dict[str, Any]) -> bytes:
    if "json" in body:
        return json.dumps(body["json"], ensure_ascii=False).encode()
    text: str = body["text"]
    return text.encode()
