"""What a check is, and how it may come out."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from greenroom.rehearsal.endpoint import Answer
from greenroom.rehearsal.stage import Stage


class Level(enum.StrEnum):
    """How much depends on it."""

    REQUIRED = "required"
    """The published page asks for it, or no evaluation means anything without it."""
    RECOMMENDED = "recommended"
    """A best practice of the page, or what evaluators rely on where it is offered."""
    EXTRA = "extra"
    """The contract promises it beyond the page."""


class Outcome(enum.StrEnum):
    """How a check came out."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_OFFERED = "not offered"
    """The endpoint does not claim to do this."""
    NOT_TOLD = "not told"
    """It could not be found out."""


class When(enum.IntEnum):
    """In which round a check is played. Rounds follow each other; only those of `TOGETHER` run side by side."""

    FIRST = 0
    TOGETHER = 1
    CROWD = 2
    LOAD = 3
    LAST = 4
    """It judges what the others have seen."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen, and what would have been right."""

    found: str
    right: str
    request: str = ""
    status: int | None = None
    body: str = ""


class DoesNotHold(Exception):
    """It was found out that something is not as it should be."""

    def __init__(self, found: str, right: str, answer: Answer | None = None) -> None:
        super().__init__(found)
        self.evidence = Evidence(
            found,
            right,
            request=answer.request if answer else "",
            status=answer.status if answer else None,
            body=answer.excerpt if answer else "",
        )


class NotOffered(Exception):
    """The endpoint does not do this, and does not say that it does."""


class NotTold(Exception):
    """It cannot be found out, for the reason given."""


Play = Callable[[Stage], Awaitable[str]]
"""Says in a few words what was seen where it holds; raises one of the three above, or `NoAnswer`, where not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing asked of an endpoint. `name` is `group.what`; `ids` are the contract's."""

    name: str
    ids: tuple[str, ...]
    level: Level
    asks: str
    play: Play
    when: When = When.TOGETHER

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]


def check(name: str, ids: str, level: Level, asks: str, *, when: When = When.TOGETHER) -> Callable[[Play], Check]:
    """Makes a check of a function; `ids` are joined by spaces."""

    def make(play: Play) -> Check:
        return Check(name, tuple(ids.split()), level, asks, play, when)

    return make


@dataclass(frozen=True, slots=True)
class Result:
    """A check that was played. `note` says in a line what was seen or why it was not; `evidence` stands with `FAILS`."""

    check: Check
    outcome: Outcome
    note: str
    evidence: Evidence | None
    seconds: float


def demand(met: bool, found: str, right: str, answer: Answer | None = None) -> None:
    """Raises `DoesNotHold` unless it is met."""
    if not met:
        raise DoesNotHold(found, right, answer)
