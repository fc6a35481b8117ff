"""What a framework's model clients ask over HTTP, recorded and replayed with the turn that asks it.

Frameworks ask models through clients of many kinds, and nearly all of those through httpx or httpx2. There a turn's requests
are told apart from all others by the context that they are sent in.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any

from greenroom.sdk import Turn

_LIBRARIES = ("httpx", "httpx2")
_KEPT = ("content-type", "location")
"""Headers that say what to make of an answer."""
_FAILED = 500
_MAY_CHANGE = frozenset({401, 403, 407, 408, 409, 421, 423, 425, 429})
"""What a client asks again after, or with another key."""

TURN: ContextVar[Turn | None] = ContextVar("greenroom_taped_turn", default=None)
"""The turn whose requests are recorded or replayed."""


class _NotKept(Exception):
    """An error's answer: it is given to the client, which may ask again, and is no recording."""


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
        if turn is None or not turn.is_taped or _never_ends(request):
            return await original(transport, request)

        async def send() -> Any:
            response = await original(transport, request)
            body = b"".join([part async for part in response.stream])
            await response.stream.aclose()
            return _whole(library, response, body)

        return await _taped(turn, library, request, await request.aread(), send)

    handle.is_taped = True  # type: ignore[attr-defined]
    return handle


def _taped_sync(library: Any, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(original)
    def handle(transport: Any, request: Any) -> Any:
        turn = TURN.get()
        if turn is None or not turn.is_taped or _never_ends(request):
            return original(transport, request)
        waits = _on_a_loop()

        def sent() -> Any:
            response = original(transport, request)
            body = b"".join(response.stream)
            response.stream.close()
            return _whole(library, response, body)

        async def send() -> Any:
            return sent() if waits else await asyncio.to_thread(sent)

        taped = _taped(turn, library, request, request.read(), send)
        return _driven(taped) if waits else turn.wait_for(taped)

    return handle


async def _taped(turn: Turn, library: Any, request: Any, body: bytes, send: Callable[[], Awaitable[Any]]) -> Any:
    live: Any = None

    async def ask() -> dict[str, Any]:
        nonlocal live
        live = await send()
        if live.status_code >= _FAILED or live.status_code in _MAY_CHANGE:
            raise _NotKept
        headers = {name: live.headers[name] for name in _KEPT if name in live.headers}
        return {"status": live.status_code, "headers": headers, "body": _read(live.content)}

    asked = {"method": request.method, "url": str(request.url), "body": _read(body)}
    try:
        answer = await turn.recorded(request.url.host, asked, ask)
    except _NotKept:
        return live
    if live is not None:
        return live
    return library.Response(answer["status"], headers=answer["headers"], content=_written(answer["body"]))


def _whole(library: Any, response: Any, body: bytes) -> Any:
    """A response whose body is read."""
    return library.Response(response.status_code, headers=response.headers, content=body)


def _never_ends(request: Any) -> bool:
    """Whether it waits for what a server may say some day (an MCP session does), and asks nothing."""
    return request.method == "GET" and request.headers.get("accept", "").startswith("text/event-stream")


def _on_a_loop() -> bool:
    """Whether this thread runs an event loop: it cannot wait for itself."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _driven(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine comes to that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waits for something")


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
