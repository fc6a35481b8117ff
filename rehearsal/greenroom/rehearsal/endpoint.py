"""The endpoint that is checked: requests to it, and what it answers."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

CHAT = "/v1/chat/completions"
_EXCERPT = 600
_KEYS = ("authorization", "x-api-key", "api-key")
_BUSY = frozenset({429, 503})
_ATTEMPTS = 4
_PATIENT_ATTEMPTS = 12
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds."""
_MOST_ERRORS = 500
_LONGEST_ERROR = 20_000


class NoAnswer(Exception):
    """A request got no answer: it took too long, or the connection broke. The text says which."""


class Gone(NoAnswer):
    """No connection can be made."""


class Broken(NoAnswer):
    """The connection broke."""


class Limited(NoAnswer):
    """Requests are limited, and this one was answered 429 however often it was repeated."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `request` tells the request in a line; `seconds` is until the last byte."""

    request: str
    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    @property
    def excerpt(self) -> str:
        """The beginning of the body, on one line."""
        text = " ".join(self.text[: 4 * _EXCERPT].split())
        return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…"

    @property
    def json(self) -> Any:
        """The body; None if it is no JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(slots=True)
class Ask:
    """A request that is to be made. `content` is sent as it stands; `body` as JSON."""

    method: str
    path: str
    body: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    without_key: bool = False

    @property
    def shown(self) -> str:
        """In one line, for a reader."""
        headers = "".join(f" {name}: {value};" for name, value in self.headers.items() if name != "Content-Type")
        payload = "" if self.body is None else f" {json.dumps(self.body, ensure_ascii=False)}"
        if self.content is not None:
            payload = f" {self.content[:_EXCERPT].decode('utf-8', 'backslashreplace')}"
        text = f"{self.method} {self.path}{headers}{payload}"
        return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…"


class Endpoint:
    """Requests to one address. It remembers the errors it was answered."""

    def __init__(self, client: httpx2.AsyncClient, auth: Mapping[str, str]) -> None:
        """`auth` are the headers that a request without key leaves out. Their values are never shown."""
        self._client = client
        self._auth = auth
        values = {word for value in auth.values() for word in (value, value.removeprefix("Bearer ")) if word}
        self._secrets = sorted(values, key=len, reverse=True)
        self.has_key = any(name.lower() in _KEYS for name in auth)
        self.requests = 0
        self.errors: list[Answer] = []

    async def ask(
        self, method: str, path: str, body: Any = None, *, content: bytes | None = None, **how: Any
    ) -> Answer:
        """An answer. Where the endpoint says that it is busy, the request is repeated. Raises `NoAnswer`; a limit of requests
        is `Limited`, as what is checked must not be taken for refused then."""
        ask = Ask(method, path, body, content, **how)
        try:
            answer = await self.ask_often(ask, at_429=_PATIENT_ATTEMPTS)
        except Broken:  # many servers end a connection when they have failed, while the next request is under way on it
            answer = await self.ask_often(ask, at_429=_PATIENT_ATTEMPTS)
        if answer.status == 429 and not _is_final(answer):
            raise Limited(f"{method} {path}: answered 429 again and again, as requests are limited")
        return answer

    async def ask_often(self, ask: Ask, *, at_429: int = _ATTEMPTS) -> Answer:
        """The answer to a request that is repeated a few times where the endpoint is busy."""
        attempt = 0
        while True:
            attempt += 1
            answer = await self.ask_once(ask)
            most = at_429 if answer.status == 429 else _ATTEMPTS
            if answer.status not in _BUSY or _is_final(answer) or attempt >= most:
                return answer
            await asyncio.sleep(_pause(answer.headers, attempt))

    async def ask_once(self, ask: Ask) -> Answer:
        """The answer, whatever it is."""
        started = time.perf_counter()
        self.requests += 1
        payload = ask.content if ask.body is None else json.dumps(ask.body, ensure_ascii=False).encode()
        headers = {**({} if payload is None else {"Content-Type": "application/json"}), **ask.headers}
        try:
            got = await self._client.request(
                ask.method,
                ask.path,
                content=payload,
                headers={**({} if ask.without_key else self._auth), **headers},
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as problem:
            raise Gone(_why(problem)) from None
        except httpx2.TimeoutException:
            raise NoAnswer(f"{ask.method} {ask.path}: no answer within {self._client.timeout.read:g} s") from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as problem:
            raise Broken(f"{ask.method} {ask.path}: {_why(problem)}") from None
        except (httpx2.TransportError, httpx2.DecodingError) as problem:
            raise NoAnswer(f"{ask.method} {ask.path}: {_why(problem)}") from None
        text = got.content.decode("utf-8", "replace")
        answer = Answer(
            self.hidden(ask.shown), got.status_code, got.headers, self.hidden(text), time.perf_counter() - started
        )
        if got.status_code >= 400 and len(self.errors) < _MOST_ERRORS and len(text) < _LONGEST_ERROR:
            self.errors.append(answer)
        return answer

    def hidden(self, text: str) -> str:
        """Without the key."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


def trusted(url: str, ca: str, *, insecure: bool) -> ssl.SSLContext | bool:
    """What certificates are held against. Raises `OSError` where the file cannot be read or holds none."""
    context = ssl.create_default_context(cafile=ca) if ca else True
    return False if insecure or url.startswith("http:") else context


def _is_final(answer: Answer) -> bool:
    return answer.headers.get("x-should-retry") == "false"


def _pause(headers: Mapping[str, str], attempt: int) -> float:
    """Seconds: what the endpoint says, and longer each time, as others wait for the same moment."""
    return min(_LONGEST_PAUSE, max(_said_pause(headers), _FIRST_PAUSE * 2.0**attempt))


def _said_pause(headers: Mapping[str, str]) -> float:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) / unit)
        except ValueError:
            continue
    return 0.0


def _why(problem: Exception) -> str:
    """The first cause that says something."""
    text = str(problem).strip()
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            hint = "; does it speak http?" if cause.reason == "WRONG_VERSION_NUMBER" else ""
            return f"TLS failed: {(cause.reason or str(cause)).lower().replace('_', ' ')}{hint}"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused; is it running?"
        cause = cause.__cause__ or cause.__context__
    return text or type(problem).__name__
