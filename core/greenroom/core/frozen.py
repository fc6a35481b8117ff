"""Frozen values: what all sessions share. Dicts and lists with storage of their own, so that every reader sees them, C code
included; and whose methods change nothing, so that whoever gets hold of one cannot harm another session."""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from greenroom.core.plain import WorldError, plain_copy, to_json

_NOTHING: tuple[str, ...] = ()


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
    """A frozen copy of plain data as `json.loads` makes it."""
    kind = type(value)
    if kind is dict:
        return _frozen_dict(value)
    if kind is list:
        return _frozen_list(value)
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


def _frozen_dict(items: Iterable[Any]) -> FrozenDict:
    frozen: FrozenDict = FrozenDict.__new__(FrozenDict)
    dict.update(frozen, items)
    nested = [key for key, value in frozen.items() if type(value) is dict or type(value) is list]
    for key in nested:
        dict.__setitem__(frozen, key, freeze(frozen[key]))
    frozen.text = None
    frozen.nested = tuple(nested) if nested else _NOTHING
    return frozen


def _frozen_list(items: list[Any]) -> FrozenList:
    frozen: FrozenList = FrozenList.__new__(FrozenList)
    list.extend(frozen, map(freeze, items))
    frozen.text = None
    frozen.nested = any(type(value) is FrozenDict or type(value) is FrozenList for value in frozen)
    return frozen
