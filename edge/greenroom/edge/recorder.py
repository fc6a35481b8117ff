"""What is kept of every exchange: a log line and the figures of `/metrics` and `/health`."""

import time

from greenroom.edge.exchange import Exchange
from greenroom.edge.meters import Meters
from greenroom.edge.request_log import RequestLog


class Recorder:
    """Told once per request, when its response is out."""

    def __init__(self, log: RequestLog | None, meters: Meters) -> None:
        self._log = log
        self._meters = meters
        self.bodies = log is not None and log.bodies

    def record(self, exchange: Exchange) -> None:
        duration = time.perf_counter() - exchange.started
        self._meters.observe(exchange, duration)
        if self._log is not None:
            self._log.write(exchange, duration)
