"""Requests at a steady rate, sent when they are due whether earlier ones were answered or not."""

import asyncio
import math
import time
from collections import Counter
from dataclasses import dataclass, field

from greenroom.rehearsal.endpoint import Answer, NoAnswer
from greenroom.rehearsal.stage import Stage, user_says

_WARMING = 10
"""Requests before the first that counts: connections are opened."""


@dataclass(slots=True)
class Load:
    """What came of it. Latencies are in seconds, from when a request was due, so that what waits here counts too."""

    rate: float
    sent: int = 0
    failed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Of the requests that were answered 200, in order of size."""
    lateness: float = 0.0
    """The longest that this machine took to send what was due."""
    failure: Answer | None = None
    slowest: Answer | None = None

    def percentile(self, share: float) -> float:
        """Of the latencies, of which there must be some."""
        return self.latencies[max(0, math.ceil(len(self.latencies) * share / 100) - 1)]

    def shown(self, share: float) -> str:
        """A percentile for a reader."""
        seconds = self.percentile(share)
        return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


async def load(stage: Stage) -> Load:
    """Holds the rate for the time that the options say."""
    return await _Steady(stage).hold()


class _Steady:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._load = Load(stage.options.rate)
        self._free: list[str] = []
        self._done = 0

    async def hold(self) -> Load:
        count = max(1, round(self._stage.options.rate * self._stage.options.seconds))
        await asyncio.gather(*(self._warm() for _ in range(min(_WARMING, count))))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                due = started + number / self._stage.options.rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._ask(due, count))
        self._load.latencies.sort()
        return self._load

    async def _warm(self) -> None:
        session = self._session()
        try:
            await self._stage.chat(self._body(session))
        except NoAnswer:
            return
        self._free.append(session)

    def _session(self) -> str:
        """One that is not being answered: the turns of a session wait for each other."""
        return self._free.pop() if self._free else self._stage.names.session()

    def _body(self, session: str) -> dict[str, object]:
        lines = self._stage.options.lines
        return self._stage.body([user_says(lines[self._load.sent % len(lines)])], session_id=session)

    async def _ask(self, due: float, count: int) -> None:
        load, session = self._load, self._session()
        load.lateness = max(load.lateness, time.perf_counter() - due)
        body = self._body(session)
        load.sent += 1
        try:
            answer = await self._stage.chat_once(body)
        except NoAnswer:
            load.failed += 1
            load.statuses["no answer"] += 1
        else:
            load.statuses[str(answer.status)] += 1
            if answer.status == 200:
                load.latencies.append(time.perf_counter() - due)
                if load.slowest is None or answer.seconds > load.slowest.seconds:
                    load.slowest = answer
            else:
                load.failed += 1
                load.failure = load.failure or answer
        self._free.append(session)
        self._done += 1
        self._stage.advance("steady load", self._done, count)
