"""One JSON line per turn, by request id: the core's half of the request log (SEC-06, SEC-07)."""

import asyncio
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from greenroom.core.request import TurnReply, TurnRequest

_FLUSH_SECONDS = 0.5


class _Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    time: str
    event: str = ""
    outcome: str
    duration_ms: float
    request_id: str
    key: str = ""
    user_id: str = ""
    session_id: str = ""
    turn: int = 0
    history: str = ""
    tools: list[str] = []


class TurnLog:
    """Lines are gathered and written every half second, so that a turn pays a few microseconds for its own."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def answered(self, request: TurnRequest, reply: TurnReply, seconds: float) -> None:
        turn = reply.turn
        line = _Line(
            time=_now(),
            event="turn",
            outcome="replayed" if reply.replayed else "ok",
            duration_ms=round(seconds * 1000, 3),
            request_id=request.request_id,
            key=request.principal.key_name,
            user_id=reply.session.user_id,
            session_id=reply.session.session_id,
            turn=turn.number,
            history=turn.history.name.lower(),
            tools=[call.name for call in turn.tool_calls],
        )
        self._add(line)

    def failed(self, request: TurnRequest, reason: str, seconds: float) -> None:
        line = _Line(
            time=_now(),
            event="turn",
            outcome=reason.lower(),
            duration_ms=round(seconds * 1000, 3),
            request_id=request.request_id,
            key=request.principal.key_name,
            user_id=request.user_id,
            session_id=request.session_id,
        )
        self._add(line)

    def flush(self) -> None:
        """Writes what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines and self._stream is not None:
            self._stream.write(b"".join(lines))
            self._stream.flush()

    def _add(self, line: _Line) -> None:
        if self._stream is None:
            return
        self._lines.append(_ENCODER.encode(line) + b"\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)


_ENCODER = msgspec.json.Encoder()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
