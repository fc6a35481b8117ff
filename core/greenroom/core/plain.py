"""Plain JSON data: what worlds, states and results are made of; how it is copied, compared and written."""

import json
import marshal
from typing import Any, Final

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Gone:
    """Marks what does not exist."""

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = Gone()


class WorldError(Exception):
    """A tool or an agent put something into a world that no JSON can hold, or used a world that is closed."""


def to_json(value: object, where: str = "the value") -> str:
    """Compact JSON of plain data. Raises `WorldError` naming what is in the way: worlds, state and results are JSON."""
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WorldError(f"{where} is not JSON: {error}") from None
    return text


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced: they have no UTF-8, so neither a database nor a wire takes them."""
    return text if text.isascii() else text.encode(errors="replace").decode()


Image = Any
"""A value as it was at some moment: `marshal` bytes of a dict or list, anything else as it is. It copies and compares
several times faster than `copy.deepcopy` and `==` on the whole."""


def image_of(value: Any, where: str) -> Image:
    """Raises `WorldError` when the value is not JSON."""
    if not isinstance(value, dict | list):
        return value
    try:
        return marshal.dumps(value, 2)  # version 2: equal values of one origin have equal bytes
    except ValueError:  # an enumeration's member or a dict of another kind, say: JSON takes it as what it stands for
        return marshal.dumps(json.loads(to_json(value, where)), 2)


def value_of(image: Image) -> Any:
    """A fresh copy of what was imaged."""
    return marshal.loads(image) if isinstance(image, bytes) else image


def same(a: Any, b: Any) -> bool:
    """Whether two plain values are one JSON. Python alone takes 1, 1.0 and True for equal."""
    if a != b:
        return False
    try:
        return marshal.dumps(a, 2) == marshal.dumps(b, 2) or _shape(a) == _shape(b)
    except (TypeError, ValueError):  # no JSON at all: `to_json` will say what it is
        return False


def _shape(value: object) -> str:
    return json.dumps(value, sort_keys=True)
