"""An HTTP server that agents ask: its connections, its faults, and a breaker before it."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from greenroom.agents.breaker import BackendFailed, Breaker
from greenroom.agents.extras import load
from greenroom.agents.http.template import EXTRA
from greenroom.sdk import AgentError, AgentUnavailable, Turn

_CONNECT_SECONDS = 5.0
_LONGEST_ANSWER = 8 * 1024 * 1024
_QUOTED = 300
"""Characters of an answer that the log gets to see where it is an error."""
_ALMOST_OVER = 0.05
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def from_environment(text: str, what: str) -> str:
    """The text with `${NAME}` replaced by the environment's. Raises `AgentError` for a name that is not set."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise AgentError(f"{what} names ${{{match[1]}}}, which is not set in the environment")
        return found

    return _VARIABLE.sub(value, text)


def check_url(url: str) -> str:
    """The URL. Raises `AgentError` for one that cannot be asked, or that holds a secret: agents' names are shown."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AgentError(f"{url} is no address of an HTTP server; one is https://host/chat")
    if parts.username or parts.password:
        raise AgentError("an address is shown in replies, so it holds no password: put it into a header")
    return url


class Upstream:
    """Where turns are sent. Opened with the agent, on its event loop."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._httpx = load("httpx2", EXTRA)
        self.url = check_url(url)
        self._headers = dict(headers)
        self._client: Any = None
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.netloc}"
        self.breaker = Breaker(self._name)

    async def open(self) -> None:
        """Makes the connections' pool; nothing is connected yet."""
        httpx2 = self._httpx
        self._client = httpx2.AsyncClient(
            headers=_encoded(self._headers),
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def post(self, turn: Turn, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Any]:
        """The answer, once its head is there and is no error. Raises `AgentUnavailable` or `AgentError`; nothing that the
        server said is in what the caller will see."""
        own = {"content-type": "application/json", **ids_of(turn), **{name.lower(): headers[name] for name in headers}}
        with self.breaker.attempt() as failed:
            try:
                async with self._client.stream("POST", url, content=body, headers=_encoded(own)) as answer:
                    await self._check(answer)
                    yield answer
            except self._httpx.HTTPError as problem:
                raise BackendFailed(f"{self._name}: {type(problem).__name__}: {problem}") from None
            except asyncio.CancelledError:
                if turn.time_left < _ALMOST_OVER:
                    failed(f"{self._name} did not answer within the turn's deadline")
                raise

    async def get_json(self, url: str) -> Any:
        """A JSON document, outside any turn. Raises `AgentUnavailable` or `AgentError`."""
        try:
            async with self._client.stream("GET", url, timeout=_CONNECT_SECONDS) as answer:
                await self._check(answer)
                return await self.json_of(answer)
        except self._httpx.HTTPError as problem:
            raise AgentUnavailable(f"{self._name}: {type(problem).__name__}: {problem}") from None

    async def json_of(self, answer: Any) -> Any:
        """An answer's body. Raises `AgentError` where it is no JSON, or too long."""
        body = await _read(answer, _LONGEST_ANSWER)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            kind = answer.headers.get("content-type", "no type")
            raise AgentError(f"{self._name} answered with no JSON ({kind}): {_quote(body)}") from None

    async def events(self, answer: Any, longest: int) -> AsyncIterator[str]:
        """The data of a stream's events, up to `[DONE]`."""
        source = self._httpx.EventSource(answer, max_event_size=longest)
        async for event in source:
            if event.data == "[DONE]":
                return
            if event.data:
                yield event.data

    async def _check(self, answer: Any) -> None:
        status = answer.status_code
        if status < 300:
            return
        if status < 400:
            raise AgentError(f"{self._name} redirects to {answer.headers.get('location')}; name that address")
        try:
            said = _quote(await _read(answer, _LONGEST_ANSWER))
        except AgentError:
            said = "(a long answer)"
        why = f"{self._name} answered {status}: {said}"
        if status == 429:
            raise AgentUnavailable(why, retry_after=_retry_after(answer))
        if status >= 500 or status in (401, 403, 408):
            raise BackendFailed(why, retry_after=_retry_after(answer))
        raise AgentError(why)


def ids_of(turn: Turn) -> dict[str, str]:
    """Whose turn it is, as headers; the key is the same on every attempt of the turn."""
    headers = {"x-session-id": turn.session_id, "idempotency-key": turn.key}
    if turn.user.id:
        headers["x-user-id"] = turn.user.id
    if turn.traceparent:
        headers["traceparent"] = turn.traceparent
    return headers


def _encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Ids may be of any script."""
    return {name.encode("ascii"): value.encode() for name, value in headers.items()}


async def _read(answer: Any, longest: int) -> bytes:
    parts, size = [], 0
    async for part in answer.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > longest:
            raise AgentError(f"an answer may be {longest} bytes at most")
    return b"".join(parts)


def _quote(body: bytes) -> str:
    text = " ".join(body.decode(errors="replace").split())
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "…"


def _retry_after(answer: Any) -> float:
    """Seconds; a date is not worth reading."""
    try:
        return min(max(float(answer.headers.get("retry-after", "")), 1.0), 60.0)
    except ValueError:
        return 1.0
