"""Collections of a world: record keys to records, which become the turn's own when they are first read."""

import copy
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from itertools import chain
from typing import Any, Final, Self

from greenroom.core.frozen import FrozenDict, FrozenList
from greenroom.core.ledger import Ledger, Node, Place
from greenroom.core.live import SCALARS, LiveDict, LiveList, admitted, live
from greenroom.core.overlay import Base
from greenroom.core.plain import GONE, WorldError

FROZEN: Final = frozenset((FrozenDict, FrozenList))
LIVE: Final = frozenset((LiveDict, LiveList))
WHOLE: Final = 500
"""Up to so many records, opening a collection copies the pointers to all of them, a few microseconds. Above, records are
looked up when they are asked for."""


class Table(dict[str, Any], Node):
    """A dict of a turn's world whose frozen values are opened when they are read: the world itself, or a collection."""

    __slots__ = ("ledger",)
    ledger: Ledger

    def place(self, key: Any) -> Place:
        """What the ledger calls the place of a key. Raises `WorldError` for one that is no string."""
        raise NotImplementedError

    def open_value(self, key: str, frozen: Any) -> Any:
        raise NotImplementedError

    # Past the ledger

    def peek(self, key: Any) -> Any:
        """What stands there, unopened; or GONE."""
        return dict.get(self, key, GONE)

    def put(self, key: Any, value: Any) -> None:
        """GONE deletes."""
        if value is GONE:
            dict.pop(self, key, None)
        else:
            dict.__setitem__(self, key, value)

    def keep(self, key: str, value: Any) -> None:
        """Puts what was opened in its place."""
        dict.__setitem__(self, key, value)

    def raw(self) -> Iterable[tuple[str, Any]]:
        """Keys and values, unopened."""
        return dict.items(self)

    def in_order(self) -> bool:
        """Whether a key that is put back must be put back in its place."""
        return True

    # As a dict

    def __getitem__(self, key: Any) -> Any:
        self.ledger.writer()
        value = dict.__getitem__(self, key)
        return self._open(key) if type(value) in FROZEN else value

    def _open(self, key: str) -> Any:
        with self.ledger.lock:
            frozen = self.peek(key)
            if type(frozen) not in FROZEN:  # another thread was here first
                return frozen
            value = self.open_value(key, frozen)
            self.keep(key, value)
            if type(value) in LIVE:
                self.ledger.opened.append((self, key, frozen, value))
            return value

    def get(self, key: Any, default: Any = None) -> Any:
        return default if self.peek(key) is GONE else self[key]

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self)  # being there, it makes `dict(…)` of this ask for every value

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return ItemsView(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        ledger, place = self.ledger, self.place(key)
        with ledger.lock:
            writer = ledger.writer()
            mark = ledger.mark(writer, *place)
            found = self.peek(key)
            if type(value) not in SCALARS and value is not found:
                value = admitted(ledger, mark, value)
            ledger.note_key(writer, self, key, found)
            self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        ledger = self.ledger
        with ledger.lock:
            writer = ledger.writer()
            if key not in self:
                raise KeyError(key)
            ledger.mark(writer, *self.place(key))
            if self.in_order():
                ledger.note_loss(writer, self, key, self.peek(key), dict.keys(self))
            else:
                ledger.note_key(writer, self, key, self.peek(key))
            self.put(key, GONE)

    def pop(self, key: Any, *default: Any) -> Any:
        ledger = self.ledger
        with ledger.lock:
            if key not in self:
                writer = ledger.writer()
                if default and isinstance(key, str):  # a write all the same: the key is gone, whoever else took it out
                    ledger.mark(writer, *self.place(key))
                    ledger.note_key(writer, self, key, GONE)
                return {}.pop(key, *default)
            value = self[key]
            del self[key]
            return value

    def popitem(self) -> tuple[str, Any]:
        with self.ledger.lock:
            for key in reversed(self):
                return key, self.pop(key)
        raise KeyError("popitem(): dictionary is empty")

    def clear(self) -> None:
        with self.ledger.lock:
            for key in list(self):
                del self[key]

    def setdefault(self, key: Any, default: Any = None) -> Any:
        with self.ledger.lock:
            if key not in self:
                self[key] = default
            return self[key]

    def update(self, *others: Any, **values: Any) -> None:
        given = dict(*others, **values)
        with self.ledger.lock:
            for key, value in given.items():
                self[key] = value

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return dict(other) | dict(self) if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Any) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        memo[id(self)] = copied
        copied.update((key, copy.deepcopy(value, memo)) for key, value in self.raw())
        return copied

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return dict, (dict(self.raw()),)


class Collection(Table):
    """Its storage holds every record: frozen ones, and the turn's own in place of those it has read or written."""

    __slots__ = ("name",)
    name: str

    def place(self, key: Any) -> Place:
        if not isinstance(key, str):
            raise WorldError(f"record keys are strings, and {key!r} in world[{self.name!r}] is not")
        return self.name, key

    def open_value(self, key: str, frozen: Any) -> Any:
        return live(frozen, (self.ledger, self.name, key))


class LargeCollection(Collection):
    """Its records are looked up when they are asked for. Storage that C code would read past these methods holds what no
    encoder takes, so that such code fails where it would have written an empty object."""

    __slots__ = ("_base", "_count", "_fresh", "_over", "_own", "_seeded")

    def __init__(self, ledger: Ledger, base: Base, name: str) -> None:
        unreadable: Any = _Unreadable()
        dict.__setitem__(self, unreadable, None)
        self.ledger, self.name = ledger, name
        self._base = base
        self._seeded, self._over = base.records(name)
        self._own: dict[str, Any] = {}
        """What the turn has opened or written; GONE: deleted."""
        self._fresh: dict[str, None] = {}
        """The keys that the base does not have, in order."""
        self._count = base.size(name)

    def peek(self, key: Any) -> Any:
        own = self._own
        return own[key] if key in own else self._found(key)

    def _found(self, key: Any) -> Any:
        """What the turn found there."""
        if key in self._over:
            return GONE if key is None else self._over[key]
        return GONE if self._seeded is None else self._seeded.get(key, GONE)

    def keep(self, key: str, value: Any) -> None:
        self._own[key] = value

    def put(self, key: Any, value: Any) -> None:
        self._count += (value is not GONE) - (self.peek(key) is not GONE)
        if self._found(key) is GONE:
            if value is GONE:
                self._fresh.pop(key, None)
            else:
                self._fresh[key] = None
        self._own[key] = value

    def raw(self) -> Iterable[tuple[str, Any]]:
        return ((key, self.peek(key)) for key in self)

    def in_order(self) -> bool:
        return False

    def __getitem__(self, key: Any) -> Any:
        self.ledger.writer()
        own = self._own
        value = own[key] if key in own else self._found(key)
        if type(value) in FROZEN:
            return self._open(key)
        if value is GONE:
            raise KeyError(key)
        return value

    def _open(self, key: str) -> Any:
        """As above, in one piece: tools read thousands of records in a row."""
        ledger, own = self.ledger, self._own
        with ledger.lock:
            frozen = own[key] if key in own else self._found(key)
            if type(frozen) not in FROZEN:
                return frozen
            value = own[key] = live(frozen, (ledger, self.name, key))
            ledger.opened.append((self, key, frozen, value))
            return value

    def __contains__(self, key: object) -> bool:
        return self.peek(key) is not GONE

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        own, count = self._own, self._count
        for key in chain(self._base.keys(self.name), self._fresh):
            if own.get(key) is not GONE:
                yield key
                if self._count != count:
                    raise RuntimeError("dictionary changed size during iteration")

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return KeysView(self)

    def __eq__(self, other: object) -> bool:
        return dict(self.raw()) == (dict(other.raw()) if isinstance(other, Table) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self.raw()))


class _Unreadable:
    """A key that no JSON has, and that goes into one dict only."""

    __slots__ = ("_placed",)

    def __init__(self) -> None:
        self._placed = False

    def __hash__(self) -> int:
        if self._placed:
            raise TypeError(f"{self!r} cannot be read by code that does not ask it")
        self._placed = True
        return 0

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "a large collection of a world (dict(collection) is one that can be)"


def open_collection(ledger: Ledger, base: Base, name: str) -> "Collection":
    """A collection of the base as a turn works on it."""
    seeded, over = base.records(name)
    if (0 if seeded is None else len(seeded)) + len(over) > WHOLE:
        return LargeCollection(ledger, base, name)
    collection = Collection(() if seeded is None else seeded)
    collection.ledger, collection.name = ledger, name
    for key, value in over.items():
        if key is not None:
            collection.put(key, value)
    return collection
