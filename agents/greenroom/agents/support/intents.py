"""What customers want, as one table: each intent with the ways of saying it, in plain words (see `spelling`)."""

import re
from dataclasses import dataclass
from enum import StrEnum

from greenroom.agents.support.phrases import CLEAR, VAGUE, Line, read_lines


class Intent(StrEnum):
    """What one request is for."""

    HELP = "help"
    STATUS = "status"
    LATE = "late"
    DETAILS = "details"
    PROBLEM = "problem"
    REFUND_STATUS = "refund_status"
    CANCEL = "cancel"
    ADDRESS = "address"
    REFUND = "refund"
    LIST = "list"
    EXPEDITE = "expedite"
    POLICY = "policy"
    HUMAN = "human"
    OFF_LIMITS = "off_limits"
    ABILITIES = "abilities"
    IDENTITY = "identity"
    GREETING = "greeting"
    HOW_ARE_YOU = "how_are_you"
    THANKS = "thanks"
    GOODBYE = "goodbye"
    SMALL_TALK = "small_talk"


ABOUT_AN_ORDER = frozenset(
    {
        Intent.HELP,
        Intent.STATUS,
        Intent.LATE,
        Intent.DETAILS,
        Intent.PROBLEM,
        Intent.REFUND_STATUS,
        Intent.CANCEL,
        Intent.ADDRESS,
        Intent.REFUND,
        Intent.EXPEDITE,
    }
)
"""Needs an order number."""

EFFECTS = frozenset({Intent.CANCEL, Intent.ADDRESS, Intent.REFUND})
"""Changes something, so it is confirmed first."""

CHAT = (
    Intent.ABILITIES,
    Intent.IDENTITY,
    Intent.HOW_ARE_YOU,
    Intent.SMALL_TALK,
    Intent.GOODBYE,
    Intent.THANKS,
    Intent.GREETING,
)
"""Answered only where nothing else is asked; the first that was heard wins."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of saying it. A vague one is a guess: it gives way to a clear one."""

    intent: Intent
    line: Line
    clear: bool


WAYS = tuple(
    Way(Intent(name), line, clear)
    for table, clear in ((CLEAR, True), (VAGUE, False))
    for name, text in table.items()
    for line in read_lines(text)
)


def _by_word() -> dict[str | None, tuple[int, ...]]:
    """The places of the ways that each word may set off; those that any word may are under None."""
    places: dict[str | None, list[int]] = {None: []}
    for place, way in enumerate(WAYS):
        for word in way.line.triggers or (None,):
            places.setdefault(word, []).append(place)
    return {word: tuple(found) for word, found in places.items()}


_BY_WORD = _by_word()
_WORD = re.compile(r"[a-z]+")


def ways_for(clause: str) -> list[Way]:
    """The ways that may be in a clause, clear ones first."""
    places = set(_BY_WORD[None])
    for word in set(_WORD.findall(clause)):
        places.update(_BY_WORD.get(word, ()))
    return [WAYS[place] for place in sorted(places)]


YIELDS: dict[Intent, frozenset[Intent]] = {
    Intent.STATUS: frozenset(
        {
            Intent.ADDRESS,
            Intent.REFUND_STATUS,
            Intent.DETAILS,
            Intent.POLICY,
            Intent.EXPEDITE,
            Intent.LIST,
            Intent.PROBLEM,
            Intent.IDENTITY,
            Intent.HOW_ARE_YOU,
        }
    ),
    Intent.LATE: ABOUT_AN_ORDER - {Intent.LATE, Intent.HELP} | {Intent.LIST, Intent.POLICY, Intent.HUMAN},
    Intent.REFUND: frozenset({Intent.REFUND_STATUS, Intent.POLICY}),
    Intent.CANCEL: frozenset({Intent.POLICY, Intent.REFUND_STATUS}),
    Intent.ADDRESS: frozenset({Intent.POLICY}),
    Intent.PROBLEM: frozenset({Intent.REFUND, Intent.ADDRESS}),
    Intent.EXPEDITE: frozenset({Intent.POLICY, Intent.CANCEL, Intent.REFUND}),
    Intent.DETAILS: frozenset({Intent.POLICY, Intent.ADDRESS}),
    Intent.HELP: ABOUT_AN_ORDER - {Intent.HELP}
    | {
        Intent.LIST,
        Intent.POLICY,
        Intent.HUMAN,
        Intent.OFF_LIMITS,
        Intent.ABILITIES,
        Intent.IDENTITY,
        Intent.GOODBYE,
        Intent.THANKS,
    },
    Intent.POLICY: frozenset({Intent.OFF_LIMITS}),
    Intent.SMALL_TALK: frozenset(Intent) - frozenset(CHAT),
}
"""Heard in one clause with one of these, an intent is only part of saying that one."""
