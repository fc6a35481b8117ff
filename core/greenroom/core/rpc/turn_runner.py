"""Runs a turn for whichever RPC brought it: refuses it while draining, counts it, logs it, renders its failure."""

import asyncio
import logging
from time import perf_counter
from typing import Any

from greenroom.core.core import Core
from greenroom.core.errors import Draining, GreenroomError
from greenroom.core.request import TurnReply, TurnRequest
from greenroom.core.rpc.interceptors import new_request_id
from greenroom.core.rpc.meters import Meters
from greenroom.core.rpc.status import unexpected
from greenroom.core.rpc.turn_log import TurnLog

GRACE = 2.0
"""Seconds for which a turn runs on whose reader has left."""

_log = logging.getLogger(__name__)


class TurnRunner:
    """The one way into `Turns` from outside."""

    def __init__(self, core: Core, meters: Meters, log: TurnLog) -> None:
        self._core = core
        self._meters = meters
        self._log = log
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    async def run(self, request: TurnRequest, *, log: bool = True) -> TurnReply:
        """Raises only `GreenroomError`s, and `CancelledError`. `log`: whether an answered turn gets a line here."""
        started = perf_counter()
        if not request.request_id:
            request.request_id = new_request_id()
        if self.draining:
            raise Draining("the server is shutting down")
        if not self._running:
            self._idle.clear()
        self._running += 1
        try:
            reply = await self._core.turns.run(request)
        except GreenroomError as error:
            self._missed(request, error.reason, started)
            raise
        except asyncio.CancelledError:
            self._missed(request, "CANCELLED", started)
            raise
        except Exception:
            _log.exception("a turn failed unexpectedly, request %s", request.request_id)
            failure = unexpected()
            self._missed(request, failure.reason, started)
            raise failure from None
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        took = perf_counter() - started
        self._meters.turn("ok", took)
        for call in () if reply.replayed else reply.turn.tool_calls:
            self._meters.tool_call(call.name, call.ok)
        if log:
            self._log.answered(request, reply, took)
        return reply

    async def left(self, attempt_id: str) -> None:
        """A client has left before it had its reply. What cannot be noted is logged."""
        try:
            await self._core.turns.left(attempt_id)
        except GreenroomError as error:
            _log.warning("the reply of attempt %s could not be kept for its client: %s", attempt_id, error)

    async def stopped_reading(self, attempt_id: str, turn: "asyncio.Task[Any]", *, stays: bool) -> None:
        """The reader of a stream has left (STREAM-06): the turn is stopped a little later, unless it `stays` or the same
        request has been asked again by then."""
        await self.left(attempt_id)
        if not stays:
            await asyncio.wait([turn], timeout=GRACE)
            if not turn.done() and not self._core.turns.is_waited_for(attempt_id):
                turn.cancel()

    async def drain(self, timeout: float) -> bool:
        """Refuses new turns and waits for those in flight; False when some are left after `timeout` seconds."""
        self.draining = True
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _missed(self, request: TurnRequest, reason: str, started: float) -> None:
        took = perf_counter() - started
        self._meters.turn(reason, took)
        self._log.failed(request, reason, took)
