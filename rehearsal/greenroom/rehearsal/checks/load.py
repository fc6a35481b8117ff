"""A steady load: how many are answered, and how soon."""

from greenroom.rehearsal.check import Level, NotTold, When, check, demand
from greenroom.rehearsal.load import Load, load
from greenroom.rehearsal.stage import Stage

_MOST_FAILED = 0.01
_TARGET = 5.0
"""Seconds. The page's target for a response."""
_LATE = 0.25
"""Seconds by which this machine may send later than it should at its worst, for the numbers to mean anything."""


async def _held(stage: Stage) -> Load:
    if stage.load is None:
        stage.load = await load(stage)
    return stage.load


@check(
    "load.answered",
    "SEC-04 SEC-05",
    Level.RECOMMENDED,
    "requests at the page's rate of 100 a second are answered",
    when=When.LOAD,
)
async def are_answered(stage: Stage) -> str:
    held = await _held(stage)
    told = ", ".join(f"{count} x {status}" for status, count in sorted(held.statuses.items()))
    found = f"{held.failed} of {held.sent} failed at {held.rate:g}/s: {told}"
    demand(held.failed <= _MOST_FAILED * held.sent, found, f"at most {_MOST_FAILED:.0%} fail", held.failure)
    return f"{held.sent} at {held.rate:g}/s: {told}"


@check("load.latency", "CHAT-18", Level.RECOMMENDED, "under that load a reply comes within 5 seconds", when=When.LOAD)
async def latency(stage: Stage) -> str:
    held = await _held(stage)
    if not held.latencies:
        raise NotTold("nothing was answered")
    seen = f"p50 {held.shown(50)}, p95 {held.shown(95)}, p99 {held.shown(99)}"
    slow = held.percentile(95) > _TARGET
    if slow and held.lateness > _LATE:
        raise NotTold(f"{seen}, but this machine sent {held.lateness:.1f} s late")
    demand(not slow, f"{seen} at {held.rate:g}/s", f"p95 under {_TARGET:g} s", held.slowest)
    return seen


CHECKS = (are_answered, latency)
