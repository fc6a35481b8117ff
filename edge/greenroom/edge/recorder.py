"""What is kept of every exchange: a log line and the figures of `/metrics` and `/health`."""

import asyncio
import time

from greenroom.edge.exchange import Exchange
from greenroom.edge.meters import Meters
from greenroom.edge.request_log import RequestLog

BATCH = 64
LINGER_SECONDS = 0.25


class Recorder:
    """Told once per request, when its response is out.

    Exchanges are counted and written some at a time: the same code run back to back costs a third of what it costs
    between two requests, when it has left the processor's caches.
    """

    def __init__(self, log: RequestLog | None, meters: Meters) -> None:
        self._log = log
        self._meters = meters
        self._ended: list[tuple[Exchange, float]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.bodies = log is not None and log.bodies

    def record(self, exchange: Exchange) -> None:
        """Takes note; what was noted is settled within a quarter of a second."""
        self._ended.append((exchange, time.perf_counter()))
        if len(self._ended) >= BATCH or self._closed:
            self.settle()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._on_timer)

    def settle(self) -> None:
        """Counts and writes what was noted so far. To be called before the figures are read."""
        ended, self._ended = self._ended, []
        behind = time.time() - time.perf_counter()
        for exchange, at in ended:
            seconds = at - exchange.started
            self._meters.observe(exchange, seconds)
            if self._log is not None:
                self._log.write(exchange, seconds, behind + at)

    async def close(self) -> None:
        """Settles and writes everything; what ends later, cut off while draining, is written as it ends."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.settle()
        if self._log is not None:
            await self._log.close()

    def _on_timer(self) -> None:
        self._timer = None
        self.settle()
