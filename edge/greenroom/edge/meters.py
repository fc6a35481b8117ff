"""Counts of what was served: for Prometheus, and for `/health` over the last minutes (HEALTH-03, HEALTH-04).

Plain numbers, gathered only when somebody looks: a counter and a histogram of the client library cost more a request.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from greenroom.edge.access import UNLIMITED
from greenroom.edge.exchange import Exchange

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WINDOW_SECONDS = 300
_SLICE_SECONDS = 10
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})


class _Series:
    """Requests of one method, route and status."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class _Slice:
    """Ten seconds of the window."""

    __slots__ = ("failed", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        self.seconds = 0.0


class Meters(Collector):
    """One per app, with a registry of its own."""

    def __init__(self, pending: Callable[[], int] = lambda: 0) -> None:
        self._pending = pending
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._slices: dict[int, _Slice] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, exchange: Exchange, seconds: float) -> None:
        """Counts one exchange. Routes are templates and methods known ones, so series stay few."""
        key = (exchange.method, exchange.route, exchange.status)
        series = self._series.get(key)
        if series is None:
            series = self._series_for(key)
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds
        if exchange.route not in UNLIMITED:
            self._observe_window(exchange.status, seconds)

    def recent(self) -> tuple[float, float]:
        """Mean response time in milliseconds and percent of 5xx, over the last five minutes."""
        oldest = (time.monotonic() - WINDOW_SECONDS) // _SLICE_SECONDS
        slices = [part for number, part in self._slices.items() if number >= oldest]
        requests = sum(part.requests for part in slices)
        if not requests:
            return 0.0, 0.0
        return (
            sum(part.seconds for part in slices) / requests * 1000,
            sum(part.failed for part in slices) / requests * 100,
        )

    def text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "greenroom_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        durations = HistogramMetricFamily(
            "greenroom_http_request_duration_seconds", "From request to response.", labels=("method", "route")
        )
        joined: dict[tuple[str, str], _Series] = {}
        for (method, route, status), series in self._series.items():
            requests.add_metric((method, route, str(status)), sum(series.buckets))
            both = joined.setdefault((method, route), _Series())
            both.seconds += series.seconds
            both.buckets = [a + b for a, b in zip(both.buckets, series.buckets, strict=True)]
        for labels, series in joined.items():
            durations.add_metric(labels, _cumulated(series.buckets), series.seconds)
        yield requests
        yield durations
        yield GaugeMetricFamily(
            "greenroom_edge_turns_pending", "Turns that wait for the core's answer.", value=self._pending()
        )

    def _series_for(self, key: tuple[str, str, int]) -> _Series:
        method, route, status = key
        known = (method if method in _METHODS else "other", route, status)
        return self._series.setdefault(known, _Series())

    def _observe_window(self, status: int, seconds: float) -> None:
        number = int(time.monotonic() // _SLICE_SECONDS)
        part = self._slices.get(number)
        if part is None:
            oldest = number - WINDOW_SECONDS // _SLICE_SECONDS
            self._slices = {number: kept for number, kept in self._slices.items() if number > oldest}
            part = self._slices[number] = _Slice()
        part.requests += 1
        part.seconds += seconds
        part.failed += status >= 500


def _cumulated(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    cumulated: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
        total += count
        cumulated.append((bound, total))
    return cumulated
