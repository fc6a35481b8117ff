"""What is kept of a value: plain JSON, without secrets, signs in the place of a session's own ids."""

from collections.abc import Mapping
from math import isfinite
from operator import itemgetter
from typing import Any

import msgspec

from greenroom.core.cassettes.own_ids import OwnIds
from greenroom.core.plain import any_json, well_formed
from greenroom.core.redaction import HIDDEN, DocumentRedactor


class Keeper:
    """`is_asked`: of what is asked, the keys of objects are sorted, so that the same ids are met first however it is put
    together."""

    __slots__ = ("_ids", "_is_asked", "_redactor")

    def __init__(self, redactor: DocumentRedactor, ids: OwnIds, *, is_asked: bool = False) -> None:
        self._redactor = redactor
        self._ids = ids
        self._is_asked = is_asked

    def text(self, text: str) -> str:
        return self._ids.taken_out(self._redactor.text(well_formed(text)), is_asked=self._is_asked)

    def value(self, value: Any) -> Any:
        """Numbers that JSON has none for are null; what has no JSON is its text."""
        match value:
            case str():
                return self.text(str.__str__(value))
            case None | bool() | int():
                return value
            case float():
                return value if isfinite(value) else None
            case Mapping():
                return self._object(value)
            case list() | tuple():
                return [self.value(item) for item in value]
            case set() | frozenset():
                return sorted(map(self.value, value), key=any_json)
            case _:
                return self.value(msgspec.to_builtins(value, str_keys=True, enc_hook=str))

    def _object(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        items = [(name if type(name) is str else _name(name), item) for name, item in value.items()]
        if self._is_asked:
            items.sort(key=itemgetter(0))
        hides = self._redactor.hides
        return {self.text(name): HIDDEN if hides(name) else self.value(item) for name, item in items}


def _name(name: Any) -> str:
    """A key as JSON has it."""
    if isinstance(name, str):
        return str.__str__(name)
    return any_json(name) if name is None or isinstance(name, bool | int | float) else str(name)
