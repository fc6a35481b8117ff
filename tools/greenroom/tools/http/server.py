"""An HTTP server that tools ask: its connections, its faults, and how it is now."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from greenroom.sdk import Call, ToolError
from greenroom.tools.connections import http_client
from greenroom.tools.extras import import_extra
from greenroom.tools.headers import Secrets, encoded
from greenroom.tools.http.answer import LONGEST, Answer
from greenroom.tools.http.credentials import Credential

_CONNECTIONS = 100
_REDIRECTS = 3
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_AWAY = frozenset({502, 503, 504})
_UNWELL = frozenset({401, 403, 407}) | _AWAY
"""Statuses that say something of the server, or of how we are let in, and nothing of what was asked."""
_LOOK_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two looks at a server that is away."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a tool asks. `query` are further pairs for the URL, not encoded yet."""

    method: str
    url: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[tuple[str, str]] = field(default_factory=list)
    content: bytes | None = None

    def sending(self, content: bytes) -> "Request":
        """The same with a body."""
        return replace(self, content=content)

    def admitted(self, credentials: Iterable[Credential]) -> "Request":
        """The same with what lets it in."""
        added = list(credentials)
        return replace(
            self,
            query=[*self.query, *((one.name, one.value) for one in added if one.place == "query")],
            headers={**self.headers, **{one.name: one.value for one in added if one.place == "header"}},
            cookies=[*self.cookies, *((one.name, one.value) for one in added if one.place == "cookie")],
        )


class Server:
    """Where the tools of a source ask. `name` is the source's, `timeout` in seconds, `headers` go with every request. Opened
    with the source, on its event loop."""

    def __init__(self, name: str, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        self._httpx = import_extra("httpx2", "http")
        self.name = name
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._secrets = Secrets(self._headers.values())
        self._client: Any = None
        self.problem = ""
        """What the last request came to that says that the server is not well, or does not let us in; "" after one that was
        answered."""
        self._is_away = False
        """Whether the problem is that it does not answer, or says itself that it cannot."""
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Makes the connections' pool; nothing is connected yet. Raises `AgentError`."""
        self._client = http_client(self.name, encoded({"user-agent": "greenroom", **self._headers}), _CONNECTIONS)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])
        if client is not None:
            await client.aclose()

    async def call(self, request: Request, call: Call) -> Answer:
        """What it answers to a tool's call, whose key goes along. Raises `ToolError` for an error."""
        request.headers["idempotency-key"] = call.key
        if call.traceparent:
            request.headers["traceparent"] = call.traceparent
        try:
            answer = await self.ask(request, call.time_left)
        finally:
            self._look_after(request.url)
        if answer.status >= 300:
            raise self._refusal(answer)
        return answer

    async def ask(self, request: Request, time_left: float, longest: int = LONGEST) -> Answer:
        """What it answers, an error too; `longest` bytes of it. Raises `ToolError` where nothing comes."""
        if self._client is None:
            raise ToolError(f"{self.name}: it has not been started", code="unreachable")
        seconds = min(self._timeout, time_left)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._asked(request, longest)
        except TimeoutError:
            problem = f"no answer within {seconds:g} s"
            if seconds == self._timeout:  # a caller with little time says nothing about the server
                self.problem, self._is_away = problem, True
            raise ToolError(f"{self.name}: {problem}", code="timeout") from None
        except self._httpx.InvalidURL as problem:
            raise ToolError(f"{self.name}: {problem}", code="invalid_arguments") from None
        except self._httpx.HTTPError as problem:
            self.problem = self.hidden(f"it cannot be reached: {type(problem).__name__}: {problem}".rstrip(": "))
            self._is_away = True
            raise ToolError(f"{self.name}: {self.problem}", code="unreachable") from None
        self.problem = "" if answer.status not in _UNWELL else self._said(answer)
        self._is_away = answer.status in _AWAY
        return answer

    def hide(self, credentials: Iterable[Credential]) -> None:
        """No message holds these from now on, as no message holds a header's value."""
        given = list(credentials)
        forms = [form for one in given for form in (one.secret, quote(one.secret, safe=""), quote_plus(one.secret))]
        self._secrets = Secrets([*self._headers.values(), *(one.value for one in given)], forms)

    def hidden(self, text: str) -> str:
        """The text without what is secret."""
        return self._secrets.hidden_in(text)

    def _look_after(self, url: str) -> None:
        """One that is away is looked at until it is back, whether anybody calls it or not."""
        if self._is_away and self._client is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(url.partition("?")[0]))

    async def _look(self, url: str) -> None:
        """Asks what changes nothing, without arguments and credentials; any answer of its own is one."""
        pause = _FIRST_PAUSE
        while self._is_away:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            with suppress(self._httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    answer = await self._client.head(url)
                if self._is_away and answer.status_code not in _AWAY:
                    self.problem, self._is_away = "", False

    async def _asked(self, request: Request, longest: int) -> Answer:
        url = request.url
        if request.query:
            url += ("&" if "?" in url else "?") + urlencode(request.query, errors="replace")
        headers = dict(request.headers)
        if request.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in request.cookies)
        built = self._client.build_request(request.method, url, headers=encoded(headers), content=request.content)
        for _ in range(_REDIRECTS):
            response = await self._sent(built)
            following = response.next_request
            try:
                stays = following is not None and _origin(following.url) == _origin(built.url)
                if following is None or not stays or request.method not in ("GET", "HEAD"):
                    return await self._read(response, longest)
            finally:
                await response.aclose()
            built = following
        raise ToolError(f"{self.name}: it redirects again and again", code="bad_answer")

    async def _sent(self, built: Any) -> Any:
        """A server may hang up a kept connection in the moment in which it is used: then what may be asked twice is."""
        try:
            return await self._client.send(built, stream=True)
        except (self._httpx.RemoteProtocolError, self._httpx.ReadError, self._httpx.WriteError):
            if built.method not in _REPEATABLE:
                raise
            return await self._client.send(built, stream=True)

    async def _read(self, response: Any, longest: int) -> Answer:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        body, is_whole = bytearray(), True
        async for part in response.aiter_bytes():
            body += part
            if len(body) > longest:
                is_whole = False
                break
        if response.next_request is not None:
            body[:] = f"it redirects to {response.headers.get('location', '')}; name that address".encode()
        return Answer(self.name, response.status_code, kind, bytes(body[:longest]), is_whole)

    def _said(self, answer: Answer) -> str:
        known = answer.status in HTTPStatus._value2member_map_
        phrase = f" {HTTPStatus(answer.status).phrase}" if known else ""
        return self.hidden(f"{answer.status}{phrase}: {answer.quote}".rstrip(": "))

    def _refusal(self, answer: Answer) -> ToolError:
        code = "unauthorized" if answer.status in (401, 403) else f"http_{answer.status}"
        return ToolError(f"{self.name}: {self._said(answer)}", code=code)


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
