"""Ids of what a run makes at the endpoint, so that it can be told from everything else, and removed."""

import itertools
import random
import secrets

PREFIX = "greenroom-check"
_LETTERS = "bcdfghjklmnpqrstvwxz"
"""No vowels, so no word of a language; no digits, which an agent may take for the number of an order."""


class Names:
    """The ids of one run, all of which begin with `prefix`; and those that are to be deleted at its end."""

    def __init__(self) -> None:
        self._chance = random.Random(secrets.randbits(64))
        self._count = itertools.count(1)
        self.prefix = f"{PREFIX}-{self._letters(6)}"
        self.sessions: dict[str, None] = {}
        """Those of the endpoint's answers, too, which it has made itself."""
        self.users: dict[str, None] = {}

    def session(self) -> str:
        """A session that never was before."""
        name = f"{self.prefix}-s{next(self._count)}"
        self.sessions[name] = None
        return name

    def user(self) -> str:
        """A user who never was before."""
        name = f"{self.prefix}-u{next(self._count)}"
        self.users[name] = None
        return name

    def secret(self) -> str:
        """A word that nobody else says."""
        return "zq" + self._letters(16)

    def _letters(self, count: int) -> str:
        return "".join(self._chance.choices(_LETTERS, k=count))
