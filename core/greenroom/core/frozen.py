"""Frozen values: what all sessions share. Dicts and lists with storage of their own, so that every reader sees them, C code
included; and whose methods change nothing, so that whoever gets hold of one cannot harm another session."""

import json
from typing import Any, Final, NoReturn

from greenroom.core.plain import WorldError, plain_copy, to_json

_NOTHING: Final[tuple[str, ...]] = ()
_CONTAINERS: Final = frozenset((dict, list))


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise WorldError(
        "this part of the world was read past it, by code that does not ask a dict for its values: it cannot be changed; "
        "read it as world[collection][key], or change a copy.deepcopy of it"
    )


class FrozenDict(dict[str, Any]):
    """`nested` names the values that are containers; `text` is its JSON, once somebody has asked for it."""

    __slots__ = ("nested", "text")
    nested: tuple[str, ...]
    text: str | None

    def __deepcopy__(self, memo: object) -> dict[str, Any]:
        return {key: plain_copy(value) for key, value in self.items()}

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return dict, (dict(self),)

    __init__ = __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


class FrozenList(list[Any]):
    """`nested`: whether any of it is a container; `text` is its JSON, once somebody has asked for it."""

    __slots__ = ("nested", "text")
    nested: bool
    text: str | None

    def __deepcopy__(self, memo: object) -> list[Any]:
        return [plain_copy(value) for value in self]

    def __copy__(self) -> list[Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return list, (list(self),)

    __init__ = __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse


def freeze(value: Any) -> Any:
    """The value frozen, of plain data as `json.loads` makes it and nobody else holds: what is in it is frozen in place."""
    kind = type(value)
    if kind is dict:
        nested = [key for key, item in value.items() if type(item) in _CONTAINERS]
        for key in nested:
            value[key] = freeze(value[key])
        record: FrozenDict = FrozenDict.__new__(FrozenDict)
        dict.update(record, value)
        record.text = None
        record.nested = tuple(nested) if nested else _NOTHING
        return record
    if kind is list:
        items: FrozenList = FrozenList.__new__(FrozenList)
        list.extend(items, map(freeze, value))
        items.text = None
        items.nested = any(type(item) in _CONTAINERS for item in value)
        return items
    return value


def freeze_text(text: str) -> Any:
    """The value of a text that `to_json` has made."""
    value = freeze(json.loads(text))
    if isinstance(value, FrozenDict | FrozenList):
        value.text = text
    return value


def text_of(value: Any) -> str:
    """The JSON of a frozen value."""
    if not isinstance(value, FrozenDict | FrozenList):
        return to_json(value)
    text: str = value.text or to_json(value)
    value.text = text
    return text
