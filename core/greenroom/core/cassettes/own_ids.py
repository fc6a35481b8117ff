"""Ids that differ from session to session, and what stands for them in a cassette."""

import json
import re
from collections.abc import Mapping

_MADE_HERE = re.compile(r"\b([a-z]+)_[0-9a-f]{24}\b")


class OwnIds:
    """Those that are known by name, and those that were made here (`turn.ids`), which are numbered as they are met."""

    __slots__ = ("_met", "_signs")

    def __init__(self, named: Mapping[str, str]) -> None:
        """`named`: ids by what stands for them."""
        self._signs = {_inside(id): sign for sign, id in named.items()}
        self._met = 0

    def taken_out(self, text: str) -> str:
        """JSON text with their signs in the ids' place."""
        for id, sign in self._signs.items():
            text = text.replace(id, sign)
        return _MADE_HERE.sub(self._numbered, text)

    def filled_in(self, text: str) -> str:
        """JSON text with the ids in their signs' place."""
        if "${" in text:
            for id, sign in self._signs.items():
                text = text.replace(sign, id)
        return text

    def _numbered(self, found: re.Match[str]) -> str:
        if found[0] not in self._signs:
            self._met += 1
            self._signs[found[0]] = f"${{{found[1]}_{self._met}}}"
        return self._signs[found[0]]


def _inside(id: str) -> str:
    """As it stands between quotes."""
    return json.dumps(id, ensure_ascii=False)[1:-1]
