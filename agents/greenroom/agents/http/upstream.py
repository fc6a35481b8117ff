"""An HTTP server that agents ask: its connections, its faults, and a breaker before it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from greenroom.agents.breaker import BackendFailed, Breaker
from greenroom.agents.http.exchange import Exchange
from greenroom.agents.http.template import EXTRA
from greenroom.sdk import AgentError, AgentUnavailable, Turn
from greenroom.tools.connections import http_client
from greenroom.tools.extras import import_extra
from greenroom.tools.headers import Secrets, encoded

_HUNG_UP_SECONDS = 0.5
_ALMOST_OVER = 0.05


def check_url(url: str) -> str:
    """The URL. Raises `AgentError` for one that cannot be asked, or that holds a secret: agents' names are shown."""
    httpx2 = import_extra("httpx2", EXTRA)
    wrong = AgentError(f"{url.rpartition('@')[2]} is no address of an HTTP server; one is https://host/chat")
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise wrong
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        raise wrong from None
    if parts.username or parts.password:
        raise AgentError("an address is shown in replies, so it holds no password: put it into a header")
    return url


class Upstream:
    """Where turns are sent. Opened with the agent, on its event loop. `headers` go with every request; `secrets` are values
    of others, not to be told."""

    def __init__(self, url: str, headers: Mapping[str, str], secrets: tuple[str, ...] = ()) -> None:
        self._httpx = import_extra("httpx2", EXTRA)
        self.url = check_url(url)
        self._headers = encoded(headers)
        self._secrets = Secrets((*headers.values(), *secrets))
        self._client: Any = None
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.netloc}"
        self.breaker = Breaker(self._name)

    async def open(self) -> None:
        """Makes the connections' pool; nothing is connected yet. Once, where several serve the agent. Raises `AgentError`."""
        if self._client is None:
            self._client = http_client(self._name, self._headers)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @asynccontextmanager
    async def post(self, turn: Turn, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Exchange]:
        """The answer, once its head is there and is no error. Raises `AgentUnavailable` or `AgentError`; nothing that the
        server said is in what the caller will see."""
        own = {"content-type": "application/json", **ids_of(turn)}
        own.update((name.lower(), value) for name, value in headers.items())
        async with self._asked(
            turn, self._client.build_request("POST", url, content=body, headers=encoded(own))
        ) as answer:
            yield answer

    async def get_json(self, turn: Turn, url: str) -> Any:
        """A JSON document. Raises `AgentUnavailable` or `AgentError`."""
        async with self._asked(turn, self._client.build_request("GET", url)) as answer:
            return await answer.json()

    @asynccontextmanager
    async def _asked(self, turn: Turn, request: Any) -> AsyncIterator[Exchange]:
        patience, response, answer = turn.time_left, None, None
        with self.breaker.attempt() as failed:
            try:
                response = await self._sent(request)
                answer = Exchange(self._name, response)
                await answer.check()
                yield answer
            except self._httpx.HTTPError as problem:
                told = self._secrets.hidden_in(f"{self._name}: {type(problem).__name__}: {problem}")
                raise BackendFailed(told) from None
            except (AgentError, AgentUnavailable) as problem:
                problem.args = (self._secrets.hidden_in(str(problem)),)
                raise
            except asyncio.CancelledError:
                # a caller with little time, or a slow reader, says nothing about the server
                is_late = turn.time_left < _ALMOST_OVER and patience >= turn.limits.turn_timeout / 2
                if is_late and (answer is None or answer.awaited):
                    failed(f"{self._name} did not answer within the turn's deadline")
                raise
            finally:
                if response is not None:
                    await response.aclose()

    async def _sent(self, request: Any) -> Any:
        """A server may hang up a kept connection in the moment in which it is used: then it is asked once more, with the
        same `Idempotency-Key`."""
        began = perf_counter()
        try:
            return await self._client.send(request, stream=True)
        except (self._httpx.RemoteProtocolError, self._httpx.ReadError, self._httpx.WriteError):
            if perf_counter() - began > _HUNG_UP_SECONDS:
                raise
            return await self._client.send(request, stream=True)


def ids_of(turn: Turn) -> dict[str, str]:
    """Whose turn it is, as headers; the key is the same on every attempt of the turn."""
    headers = {"x-session-id": turn.session_id, "idempotency-key": turn.key}
    if turn.user.id:
        headers["x-user-id"] = turn.user.id
    if turn.traceparent:
        headers["traceparent"] = turn.traceparent
    return headers
