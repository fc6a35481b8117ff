"""One request to an endpoint and what it answers, read within bounds."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from greenroom.agents.breaker import BackendFailed
from greenroom.agents.http.template import EXTRA
from greenroom.agents.too_long import is_too_long
from greenroom.sdk import AgentError, AgentUnavailable, ConversationTooLong
from greenroom.tools.extras import import_extra

DONE = "[DONE]"
"""What ends a stream of OpenAI's."""
_LONGEST_ANSWER = 8 * 1024 * 1024
_QUOTED = 300
"""Characters of an answer that the log gets to see where it is an error."""
_ERROR_BYTES = 4 * _QUOTED
_ERROR_SECONDS = 2.0
"""An error is one when its status is there; what it says is worth a short wait."""
_END_SECONDS = 0.1
_LONGEST_RETRY_AFTER = 60.0


class Refused(AgentError):
    """The endpoint takes no request like this. `told` is what it says of it, for who might ask in another way."""

    def __init__(self, why: str, told: str) -> None:
        super().__init__(why)
        self.told = told


class Exchange:
    """An answer whose head is there. `name` is the endpoint's, for errors. Raises `AgentUnavailable` or `AgentError`, whose
    texts are for the log."""

    def __init__(self, name: str, response: Any) -> None:
        self._name = name
        self._response = response
        self.awaited = True
        """Whether it is the endpoint that is waited for; false while it is a slow reader of what it has answered."""

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        kind: str = self._response.headers.get("content-type", "")
        return kind.partition(";")[0].strip().lower() == "text/event-stream"

    async def json(self) -> Any:
        """The whole body."""
        body = await self._body(_LONGEST_ANSWER)
        if len(body) > _LONGEST_ANSWER:
            raise AgentError(f"an answer may be {_LONGEST_ANSWER} bytes at most")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            kind = self._response.headers.get("content-type", "no type")
            raise AgentError(f"{self._name} answered with no JSON ({kind}): {_quote(body)}") from None

    async def events(self, longest: int) -> AsyncIterator[str]:
        """The data of a stream's events, `[DONE]` with them; nothing comes after it."""
        size = 0
        events = aiter(import_extra("httpx2", EXTRA).EventSource(self._response, max_event_size=longest))
        async for event in events:
            size += len(event.data)
            if size > _LONGEST_ANSWER:
                raise AgentError(f"an answer may be {_LONGEST_ANSWER} bytes at most")
            data = event.data.strip()
            if data == DONE:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_END_SECONDS):  # of what was read to its end the connection is kept
                        async for _ in events:
                            pass
            if data:
                yield data
            if data == DONE:
                return

    async def check(self) -> None:
        """Raises for an answer that is an error, or a redirect."""
        status = self._response.status_code
        if status < 300:
            return
        if status < 400:
            raise AgentError(f"{self._name} redirects to {self._response.headers.get('location')}; name that address")
        try:
            async with asyncio.timeout(_ERROR_SECONDS):
                body = await self._body(_ERROR_BYTES)
                said = _quote(body)
        except TimeoutError:
            body, said = b"", "(it does not end)"
        why = f"{self._name} answered {status}: {said}"
        if status == 429:
            raise AgentUnavailable(why, retry_after=self._retry_after())
        if status >= 500 or status in (401, 403, 408):
            raise BackendFailed(why, retry_after=self._retry_after())
        if is_too_long(status, _json_of(body)):
            raise ConversationTooLong(why)
        raise Refused(why, body.decode(errors="replace"))

    async def _body(self, enough: int) -> bytes:
        """All of it, or somewhat more than enough."""
        parts, size = [], 0
        async for part in self._response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > enough:
                break
        return b"".join(parts)

    def _retry_after(self) -> float:
        """Seconds: the header has them, or a date."""
        told = self._response.headers.get("retry-after", "")
        try:
            seconds = (
                float(told) if told.replace(".", "", 1).isdigit() else parsedate_to_datetime(told).timestamp() - time()
            )
        except ValueError:
            return 1.0
        return min(max(seconds, 1.0), _LONGEST_RETRY_AFTER)


def _json_of(body: bytes) -> Any:
    """An error's JSON; its text where it is none, or was cut."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _quote(body: bytes) -> str:
    text = " ".join(body.decode(errors="replace").split())
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "…"
