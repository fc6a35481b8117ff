"""One line per request, on the stream that the composition root gives (SEC-06)."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from greenroom.edge.exchange import Exchange
from greenroom.edge.options import LogOptions

FLUSH_SECONDS = 0.25
MAX_BUFFERED_BYTES = 16 * 1024 * 1024
"""Past this, lines are dropped and counted: a reader that has stopped must not take the server with it."""
MAX_BODY_BYTES = 64 * 1024
REDACTED = "[redacted]"
ALWAYS_REDACTED = frozenset({"authorization", "api_key", "apikey", "password", "secret", "token", "access_token"})

_BEARER = re.compile(r"(?i)\bbearer\s+\S+")


class _Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The line, in the order it is written."""

    time: str
    event: str
    method: str
    path: str
    status: int
    duration_ms: float
    request_id: str
    bytes_in: int
    bytes_out: int
    key: str = ""
    user_id: str = ""
    session_id: str = ""
    turn: int = 0
    tools: list[str] = []
    traceparent: str = ""
    request: Any = None
    response: Any = None


class RequestLog:
    """Lines are gathered and written off the loop, within half a second of their request."""

    def __init__(self, options: LogOptions) -> None:
        self.bodies = options.bodies
        self.dropped = 0
        self._stream = options.stream
        self._console = options.format == "console"
        self._redact = ALWAYS_REDACTED | {name.lower() for name in options.redact}
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._closed = False
        self._second = 0
        self._stamp = ""

    def write(self, exchange: Exchange, seconds: float, ended: float) -> None:
        """Adds the line of one exchange that took `seconds` and ended at `ended`, in seconds since 1970."""
        if self._size > MAX_BUFFERED_BYTES:
            self.dropped += 1
            return
        line = (self._console_line if self._console else self._json_line)(exchange, seconds, self._time(ended))
        if self._closed:
            self._emit([line])
            return
        self._lines.append(line)
        self._size += len(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    async def close(self) -> None:
        """Writes what there is; from now on every line is written at once."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._emit(self._take())

    def _flush(self) -> None:
        """One write at a time, so that lines keep their order when the stream is slow."""
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self._timer = loop.call_later(FLUSH_SECONDS, self._flush)
            return
        self._writing = loop.run_in_executor(None, self._emit, self._take())

    def _take(self) -> list[bytes]:
        lines, self._lines = self._lines, []
        self._size = 0
        return lines

    def _emit(self, lines: list[bytes]) -> None:
        if lines:
            self._stream.write(b"".join(lines))
            self._stream.flush()

    def _json_line(self, exchange: Exchange, seconds: float, at: str) -> bytes:
        line = _Line(
            time=at,
            event="request",
            method=exchange.method,
            path=exchange.path,
            status=exchange.status,
            duration_ms=round(seconds * 1000, 3),
            request_id=exchange.request_id,
            bytes_in=exchange.received,
            bytes_out=exchange.sent,
            key=exchange.key_name,
            user_id=exchange.user_id,
            session_id=exchange.session_id,
            turn=exchange.turn,
            tools=exchange.tools,
            traceparent=exchange.traceparent,
        )
        if self.bodies:
            line.request = self._shown(exchange.request_body or b"")
            line.response = self._shown(b"".join(exchange.response_body or ()))
        return self._encoder.encode(line) + b"\n"

    def _console_line(self, exchange: Exchange, seconds: float, at: str) -> bytes:
        what = [f"{exchange.method} {_printable(exchange.path)}", str(exchange.status), f"{seconds * 1000:.1f} ms"]
        if exchange.session_id:
            what.append(f"{_printable(exchange.session_id)} turn {exchange.turn}")
        if exchange.tools:
            what.append(_printable(", ".join(exchange.tools)))
        return f"{at[11:23]}  {'  '.join(what)}  {exchange.request_id}\n".encode()

    def _shown(self, body: bytes) -> Any:
        """A body as the log may show it: parsed, with what is secret taken out; as text when it is no JSON."""
        if not body:
            return None
        if len(body) > MAX_BODY_BYTES:
            return f"[{len(body)} bytes]"
        try:
            return self._redacted(msgspec.json.decode(body))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return self._redacted(body.decode(errors="replace"))

    def _redacted(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: REDACTED if name.lower() in self._redact else self._redacted(inner)
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._redacted(inner) for inner in value]
        return _BEARER.sub(REDACTED, value) if isinstance(value, str) else value

    def _time(self, moment: float) -> str:
        second = int(moment)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self._stamp}{int((moment - second) * 1000):03d}Z"


def _printable(text: str) -> str:
    """No control characters on a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
