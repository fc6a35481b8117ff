"""What it costs to find where a request stands, in a session with thousands of equal paths and in a small one."""

import asyncio
import itertools
import json
import statistics
import time
from dataclasses import dataclass

from bench.load import Client, Target

_CARRIED_AT_MOST = 499
"""Exchanges that one request can carry."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Milliseconds of a request that goes back to one of the equal paths, its reply reworded: p50."""

    large_ms: float
    small_ms: float

    @property
    def ratio(self) -> float:
        return self.large_ms / self.small_ms


def measure(target: Target, *, turns: int, equal: int, requests: int) -> Placing:
    """Grows a session to nearly so many turns, so many of them starts with the same text, and one of a few turns; then
    asks both in turn."""
    return asyncio.run(_measure(target, turns - 2 * requests, equal, requests))


async def _measure(target: Target, turns: int, equal: int, requests: int) -> Placing:
    asking = _Asking(target)
    for name, starts, others in (("large", equal, turns - equal), ("small", 3, 7)):
        await asking.grow(name, starts, others)
    times: dict[str, list[float]] = {"large": [], "small": []}
    for name in ("large", "small") * requests:
        began = time.perf_counter()
        history = await asking.ask(name, "hi", "Reworded.", "and now?")
        times[name].append((time.perf_counter() - began) * 1000)
        if history not in {"continued", "went_back"}:
            raise RuntimeError(f"placed as {history}")
    asking.close()
    return Placing(statistics.median(times["large"]), statistics.median(times["small"]))


class _Asking:
    """One client that sends the conversation with each request."""

    def __init__(self, target: Target) -> None:
        self._client = Client(target)
        self._prefix = f"placing_{time.time_ns():x}_"
        self._numbers = itertools.count()
        self.close = self._client.close

    async def grow(self, name: str, starts: int, others: int) -> None:
        """Many starts with the same text, and turns that nobody ran here, of texts of their own."""
        while others > 0:
            carried = min(others - 1, _CARRIED_AT_MOST)
            number = next(self._numbers)
            await self.ask(name, *(f"{role} {number} {i}" for i in range(carried) for role in ("said", "heard")), "so")
            others -= carried + 1
        for _ in range(starts):
            await self.ask(name, "hi")

    async def ask(self, name: str, *texts: str) -> str:
        """Where the request was placed. User and assistant take turns; the last text is the user's."""
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
        body = json.dumps({"messages": messages, "session_id": self._prefix + name}).encode()
        status, answer = await self._client.send(self._client.raw("POST", "/v1/chat/completions", body))
        if status != 200:
            raise RuntimeError(f"{status}: {answer[:200]!r}")
        return str(json.loads(answer)["metadata"]["history"])
