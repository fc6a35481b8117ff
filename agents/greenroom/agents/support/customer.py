"""Who the agent talks to, as far as profile and metadata tell. Their values are anything: nothing here may fail on them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from greenroom.sdk import Turn

_PRIORITY = re.compile(r"gold|platinum|premium|vip|priority|diamond", re.IGNORECASE)
_HIGH = re.compile(r"high|severe|critical|extreme|very|max|urgent|panic", re.IGNORECASE)
_NAME = re.compile(r"^[^\W\d_][\w .'’-]{0,60}$")


@dataclass(frozen=True, slots=True)
class Customer:
    """`story` is everything that persona, scenario and situation say, in lower case."""

    name: str
    tier: str
    stressed: bool
    story: str
    time_of_day: str

    @property
    def has_priority(self) -> bool:
        return bool(_PRIORITY.search(self.tier))


def customer_of(turn: Turn) -> Customer:
    """The customer of a turn. The request's metadata goes before the user's, the profile before both for name and tier."""
    profile, metadata = turn.user.profile, turn.metadata
    name = _first(profile, metadata, keys=("first_name", "name", "full_name", "user_name", "customer_name"))
    return Customer(
        name=name.split()[0] if _NAME.match(name) else "",
        tier=_first(profile, metadata, keys=("tier", "membership", "customer_tier", "loyalty_tier")).lower()[:40],
        stressed=_is_high(metadata.get("stress_level")),
        story=" ".join(_words(metadata.get(key)) for key in ("persona", "scenario_id", "mood", "emotion")).lower(),
        time_of_day=_words(metadata.get("time_of_day")).lower(),
    )


def _first(*places: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    values = (place.get(key) for key in keys for place in places)
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")


def _is_high(level: object) -> bool:
    """ "high", 0.8 of 1, 8 of 10 or 80 of 100."""
    if isinstance(level, bool):
        return level
    if isinstance(level, int | float):
        scale = 1 if level <= 1 else 10 if level <= 10 else 100
        return level / scale >= 0.7
    return isinstance(level, str) and bool(_HIGH.search(level))


def _words(value: object) -> str:
    if isinstance(value, str):
        return value[:500].replace("_", " ")
    if isinstance(value, Mapping):
        return " ".join(_words(item) for item in list(value.values())[:12])
    if isinstance(value, list):
        return " ".join(_words(item) for item in value[:12])
    return ""
