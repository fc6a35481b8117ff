"""Ids that differ from session to session, and what stands for them in a cassette."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

SHORTEST: Final = 6
"""Characters: a shorter id would be found in words and numbers that have nothing to do with it."""

_MADE_HERE: Final = re.compile(r"(?<=_)[0-9a-f]{24}(?![0-9A-Za-z])")
"""What `turn.ids` puts behind a prefix."""
_OPEN: Final = "${"
_WRITTEN: Final = "${$}{"
"""Where a sign begins, and how that is kept where the text itself has it."""
_SIGN: Final = re.compile(r"\$\{(\$|[a-z]+(?:_[a-z]+)?(?:_\d+)?)\}")


class OwnIds:
    """Those that are known by name, and those that were made here (`turn.ids`), which are numbered as they are met in what is
    asked."""

    __slots__ = ("_given", "_met", "_named", "_told")

    def __init__(self, named: Mapping[str, str], given: frozenset[str] = frozenset()) -> None:
        """`named`: ids by what stands for them. `given`: see `ids_given`."""
        self._named = named
        self._told = sorted(((id, sign) for sign, id in named.items() if _tells(id)), key=_longest, reverse=True)
        self._given = given
        self._met: dict[str, str] = {}

    def taken_out(self, text: str, *, is_asked: bool) -> str:
        """A text with their signs in the ids' place. What looks like one in an answer, and was not in what was asked, is what
        it is: a replay has nothing else to put there."""
        if _OPEN in text:
            text = text.replace(_OPEN, _WRITTEN)
        for id, sign in self._told:
            if id in text:
                text = re.sub(rf"(?<![0-9A-Za-z])(?<!\$\{{){re.escape(id)}(?![0-9A-Za-z])", sign, text)
        if "_" not in text:
            return text
        return _MADE_HERE.sub(self._numbered if is_asked else self._known, text)

    def filled_in(self, json_text: str) -> str:
        """JSON text with the ids in their signs' place."""
        if _OPEN not in json_text:
            return json_text
        signs = {"${$}": "$", **self._named, **{sign: id for id, sign in self._met.items()}}
        return _SIGN.sub(lambda found: _inside(signs.get(found[0], found[0])), json_text)

    def _known(self, found: re.Match[str]) -> str:
        return self._met.get(found[0], found[0])

    def _numbered(self, found: re.Match[str]) -> str:
        if found[0] in self._given:
            return found[0]
        return self._met.setdefault(found[0], f"${{id_{len(self._met) + 1}}}")


def ids_given(said: Iterable[tuple[Iterable[str], str]]) -> frozenset[str]:
    """Ids of the form that is made here, and that came from outside: they are the same in every session. `said`: turn by
    turn, what was said to the agent and what it replied. What it told first and was asked about later was made here."""
    given: set[str] = set()
    made: set[str] = set()
    for texts, reply in said:
        for text in texts:
            given.update(set(_MADE_HERE.findall(text)) - made)
        made.update(set(_MADE_HERE.findall(reply)) - given)
    return frozenset(given)


def _tells(id: str) -> bool:
    """Whether an id is found in a text by mere chance: short ones and words are."""
    return len(id) >= SHORTEST and not id.isalpha()


def _longest(named: tuple[str, str]) -> int:
    return len(named[0])


def _inside(id: str) -> str:
    """As it stands between quotes."""
    return json.dumps(id, ensure_ascii=False)[1:-1]
