"""Plain JSON data: what worlds, states and results are made of; how it is copied, compared and written."""

import json
from json import encoder
from typing import Any, Final


class _Encoder(json.JSONEncoder):
    """JSONEncoder makes a C encoder for each value, which costs more than most values do; here there is one. It does not
    keep book of what holds what: a value that holds itself ends in a RecursionError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ensure_ascii=False, **options)
        self._pieces = encoder.c_make_encoder(  # type: ignore[attr-defined]
            None,
            self.default,
            encoder.encode_basestring,
            self.indent,
            self.key_separator,
            self.item_separator,
            self.sort_keys,
            self.skipkeys,
            self.allow_nan,
        )

    def quick(self, value: object) -> str:
        return "".join(self._pieces(value, 0))


_plain = _Encoder(allow_nan=False, separators=(",", ":"))
_any = _Encoder(default=str)


class Gone:
    """Marks what does not exist."""

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = Gone()


class WorldError(Exception):
    """A tool or an agent put something into a world that no JSON can hold, or used a world that is closed."""


def to_json(value: object, where: str = "the value") -> str:
    """Compact JSON of plain data. Raises `WorldError` naming what is in the way: worlds, state and results are JSON."""
    if type(value) is int:
        return str(value)
    try:
        text = _plain.quick(value)
        if not text.isascii():
            text.encode()
    except RecursionError:
        raise WorldError(f"{where} is not JSON: {_depth(value)}") from None
    except (TypeError, ValueError) as error:
        raise WorldError(f"{where} is not JSON: {error}") from None
    return text


def _depth(value: object) -> str:
    """What is wrong with a value that has no end, or hardly one."""
    try:
        _plain.encode(value)
    except (ValueError, RecursionError) as error:
        return str(error)
    return "it is nested too deeply"


def any_json(value: object) -> str:
    """JSON of a value of any kind; what has no JSON is written as its text. Raises `ValueError` or `RecursionError` for one
    that holds itself."""
    return _any.quick(value)


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced: they have no UTF-8, so neither a database nor a wire takes them."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def size_of(text: str) -> int:
    """Its bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def same_text(a: str, b: str) -> bool:
    """Whether two texts are one JSON, whatever the order of keys. 1, 1.0 and true are three."""
    return a == b or (len(a) == len(b) and _sorted(a) == _sorted(b))


def _sorted(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def same(a: Any, b: Any) -> bool:
    """Whether two values are one JSON. Python alone takes 1, 1.0 and True for equal. Raises `WorldError` when one is none."""
    return a is b or (a == b and same_text(to_json(a), to_json(b)))


def plain_copy(value: Any) -> Any:
    """A copy of JSON-like data in dicts and lists of Python's own."""
    if isinstance(value, dict):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(item) for item in value]
    return value
