"""Health: its shape, its words, its timing."""

import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

from greenroom.rehearsal.check import DoesNotHold, Level, NotOffered, NotTold, When, check, demand
from greenroom.rehearsal.endpoint import Answer, Ask
from greenroom.rehearsal.replies import is_number, is_whole
from greenroom.rehearsal.stage import Stage

_ASKED = 20
_MEDIAN = 0.5
"""Seconds. It answers in milliseconds; the rest is for the network between."""
_STATES = ("healthy", "degraded", "unhealthy")
_CLOCKS_DIFFER = timedelta(minutes=10)
_PUBLISHED = '{"status": "healthy", "timestamp": "2024-01-21T10:30:00Z", "version": "1.0.0", "uptime": 3600}'
_ABSENT = frozenset({404, 405, 501})


async def _health(stage: Stage) -> tuple[Answer, dict[str, Any]]:
    """Raises `NotTold` where there is none, which is for `health.shape` to say."""
    answer = await stage.endpoint.ask_once(Ask("GET", "/health"))
    body = answer.json
    if answer.status not in (200, 503) or not isinstance(body, dict):
        raise NotTold(f"GET /health is answered {answer.status}, with no health in it")
    return answer, body


def utc_moment(value: Any) -> datetime | None:
    """A moment written as RFC 3339 in UTC, ending in `Z`."""
    if not isinstance(value, str) or not value.endswith("Z") or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


@check(
    "health.shape",
    "HEALTH-01",
    Level.REQUIRED,
    "GET /health has status, timestamp, version and uptime as published",
    when=When.FIRST,
)
async def shape(stage: Stage) -> str:
    answer = await stage.endpoint.ask_once(Ask("GET", "/health"))
    body = answer.json
    if answer.status not in (200, 503) or not isinstance(body, dict):
        raise DoesNotHold(f"answered {answer.status}, with no health in it", f"200 and {_PUBLISHED}", answer)
    missing = [name for name in ("status", "timestamp", "version", "uptime") if name not in body]
    demand(not missing, f"no {', '.join(missing)}", _PUBLISHED, answer)
    moment = utc_moment(body["timestamp"])
    right = "a moment in UTC such as 2024-01-21T10:30:00Z"
    demand(moment is not None, f"timestamp is {body['timestamp']!r}", right, answer)
    assert moment is not None
    off = abs(datetime.now(UTC) - moment)
    demand(off <= _CLOCKS_DIFFER, f"timestamp is {off} off", "the time of the answer", answer)
    demand(isinstance(body["version"], str), f"version is {body['version']!r}", "a string", answer)
    whole = is_whole(body["uptime"]) and body["uptime"] >= 0
    demand(whole, f"uptime is {body['uptime']!r}", "whole seconds, for instance 3600", answer)
    return f"version {body['version']}, up {body['uptime']} s"


@check(
    "health.status",
    "HEALTH-02",
    Level.REQUIRED,
    "its status says healthy or degraded with 200, unhealthy with 503",
    when=When.FIRST,
)
async def status(stage: Stage) -> str:
    answer, body = await _health(stage)
    said = body.get("status")
    demand(said in _STATES, f"status is {said!r}", "healthy, degraded or unhealthy", answer)
    demand(said != "unhealthy", "it says that it is unhealthy", "an endpoint that is well", answer)
    demand(answer.status == 200, f"{said} with {answer.status}", "200 while it works", answer)
    return str(said)


@check(
    "health.timing",
    "HEALTH-01 HEALTH-03",
    Level.RECOMMENDED,
    "it answers in milliseconds, without asking a model",
    when=When.FIRST,
)
async def timing(stage: Stage) -> str:
    await _health(stage)
    taken: list[float] = []
    while len(taken) < _ASKED and sum(taken) < _ASKED * _MEDIAN / 8:
        taken.append((await _health(stage))[0].seconds)
    median = statistics.median(taken)
    seen = f"median {median * 1000:.1f} ms, slowest {max(taken) * 1000:.1f} ms of {len(taken)}"
    demand(median <= _MEDIAN, seen, f"a median under {_MEDIAN * 1000:.0f} ms, the network included")
    return seen


@check("health.open", "HEALTH-01 SEC-01", Level.RECOMMENDED, "it needs no key", when=When.FIRST)
async def needs_no_key(stage: Stage) -> str:
    if not stage.endpoint.has_key:
        raise NotTold("this run has no key")
    answer = await stage.endpoint.ask("GET", "/health", without_key=True)
    demand(answer.status in (200, 503), f"answered {answer.status} without a key", "200", answer)
    return "answered without a key"


@check(
    "health.details",
    "HEALTH-03",
    Level.EXTRA,
    "dependencies and metrics are told, and measured",
    when=When.FIRST,
)
async def details(stage: Stage) -> str:
    answer, body = await _health(stage)
    dependencies, metrics = body.get("dependencies"), body.get("metrics")
    if dependencies is None and metrics is None:
        raise NotOffered("health has neither dependencies nor metrics")
    told = isinstance(dependencies, dict) and all(state in _STATES for state in dependencies.values())
    demand(told, f"dependencies are {dependencies!r}", "each healthy, degraded or unhealthy", answer)
    numbers = isinstance(metrics, dict) and all(is_number(value) for value in metrics.values())
    demand(numbers, f"metrics are {metrics!r}", "numbers: response_time_avg, error_rate, …", answer)
    return ", ".join(f"{name} {state}" for name, state in dependencies.items()) if dependencies else "metrics"


@check("health.probes", "HEALTH-04", Level.EXTRA, "GET /livez and /readyz answer orchestrators", when=When.FIRST)
async def probes(stage: Stage) -> str:
    for path in ("/livez", "/readyz"):
        answer = await stage.endpoint.ask("GET", path)
        if answer.status in _ABSENT:
            raise NotOffered(f"{path} is answered {answer.status}")
        demand(answer.status == 200, f"{path} is answered {answer.status}", "200", answer)
    return "both 200"


CHECKS = (shape, status, timing, needs_no_key, details, probes)
