"""A mistake in a scenario file: where it is, and what would be right."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Place = tuple[str | int, ...]
"""Keys and positions from the top of a file: `("tools", "request_refund", 0, "when")`."""

_SHOWN = 60


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """`line` counts from 1; 0 where there is none to name. `path` is "" for the file as a whole."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"


def dotted(place: Place) -> str:
    """`tools.request_refund[0].when`; what is no plain word stands in quotes."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def meant(word: str, known: Iterable[str]) -> str:
    """What to add to "there is no such …": the nearest of what there is."""
    near = difflib.get_close_matches(word, list(known), 1, 0.65)
    return f"; did you mean {near[0]}?" if near else ""


def shown(value: Any) -> str:
    """A value in a message, not at length."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
