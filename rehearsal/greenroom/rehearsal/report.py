"""What a run found."""

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from greenroom.rehearsal.check import Level, Outcome, Result
from greenroom.rehearsal.load import Load
from greenroom.rehearsal.options import Options

SCHEMA = 1
"""Of `Report.document`. It grows by new keys; a change of what is there makes it the next number."""


class Verdict(enum.StrEnum):
    """What a run comes to."""

    HOLDS = "holds"
    FINDINGS = "findings"


@dataclass(frozen=True, slots=True)
class Report:
    """The results in the order of the catalogue. `left_behind` says what could not be deleted, "" for nothing."""

    options: Options
    run: str
    started_at: datetime
    seconds: float
    requests: int
    results: Sequence[Result]
    load: Load | None
    model: str
    left_behind: str
    strict: bool = False

    def counts(self, result: Result) -> bool:
        """Whether a result is a finding: what is required or recommended and does not hold. Where it is strict, also an extra
        that does not hold, and what is not offered."""
        if result.outcome is Outcome.FAILS:
            return self.strict or result.check.level is not Level.EXTRA
        return self.strict and result.outcome is Outcome.NOT_OFFERED

    @property
    def findings(self) -> list[Result]:
        return [result for result in self.results if self.counts(result)]

    @property
    def verdict(self) -> Verdict:
        return Verdict.FINDINGS if self.findings else Verdict.HOLDS

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 0

    def tally(self) -> Counter[Outcome]:
        """How many came out how."""
        return Counter(result.outcome for result in self.results)

    def document(self) -> dict[str, Any]:
        """For a program; docs/check.md describes it."""
        tally = self.tally()
        return {
            "schema": SCHEMA,
            "url": self.options.url,
            "run": self.run,
            "started_at": self.started_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "model": self.model or None,
            "verdict": self.verdict.value,
            "exit_code": self.exit_code,
            "counts": {outcome.value: tally[outcome] for outcome in Outcome},
            "checks": [self._result(result) for result in self.results],
            "load": _numbers(self.load),
            "left_behind": self.left_behind or None,
        }

    def _result(self, result: Result) -> dict[str, Any]:
        return {
            "name": result.check.name,
            "group": result.check.group,
            "ids": list(result.check.ids),
            "level": result.check.level.value,
            "asks": result.check.asks,
            "outcome": result.outcome.value,
            "finding": self.counts(result),
            "note": result.note,
            "evidence": asdict(result.evidence) if result.evidence else None,
            "seconds": round(result.seconds, 3),
        }


def _numbers(load: Load | None) -> dict[str, Any] | None:
    if load is None:
        return None
    percentiles = {f"p{share}_ms": round(load.percentile(share) * 1000, 2) for share in (50, 95, 99)}
    return {
        "rate": load.rate,
        "sent": load.sent,
        "failed": load.failed,
        "statuses": dict(load.statuses),
        **(percentiles if load.latencies else {}),
        "sent_late_ms": round(load.lateness * 1000, 2),
    }
