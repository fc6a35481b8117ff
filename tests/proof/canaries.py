"""Secrets that can be told from everything else and from each other: each belongs to one session and one way of planting."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LETTERS = "bcdfghjklmnpqrstvwxz"
"""No vowels, so no word of a language; no digits, which an agent may take for the number of an order."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What session number `session` planted `through` a channel."""

    session: int
    through: str
    text: str


class Canaries:
    """The canaries of one run. Another run's are not recognised."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._marker = "zq" + self._letters(6)
        self._pattern = re.compile(f"{self._marker}[{_LETTERS}]{{12}}")
        self._known: dict[str, Canary] = {}

    def _letters(self, count: int) -> str:
        return "".join(self._chance.choices(_LETTERS, k=count))

    def new(self, session: int, through: str) -> str:
        """The text of a canary that was never used before."""
        text = self._marker + self._letters(12)
        if text in self._known:
            return self.new(session, through)
        self._known[text] = Canary(session, through, text)
        return text

    def found_in(self, text: str) -> list[Canary]:
        """The canaries that a text holds, in any case of letters."""
        found = (self._known.get(match) for match in self._pattern.findall(text.lower()))
        return [canary for canary in found if canary is not None]


def strings(document: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a JSON document, keys too, each with where it stands: `turns[2].state.note`."""
    if isinstance(document, str):
        yield path, document
    elif isinstance(document, dict):
        for key, value in document.items():
            below = f"{path}.{key}" if path else key
            yield below, key
            yield from strings(value, below)
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from strings(value, f"{path}[{index}]")
