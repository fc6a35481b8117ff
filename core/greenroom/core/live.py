"""Live values: a turn's own copy of a record, as dicts and lists with storage of their own. So reading them is reading a dict
or a list, for C code too; their methods that write enter the write in the turn's ledger first."""

import copy
import operator
from collections.abc import Callable, Iterable
from typing import Any, Final, SupportsIndex

from greenroom.core.frozen import FrozenDict, FrozenList
from greenroom.core.ledger import Ledger, Mark, Node
from greenroom.core.plain import GONE

Home = tuple[Ledger, str, str | None]
"""Where a value lives: its turn's ledger, and the place it was read at."""

SCALARS: Final = frozenset((str, int, float, bool, type(None)))
_set_key = dict.__setitem__
_set_items = list.__setitem__


class LiveDict(dict[str, Any], Node):
    """A dict of a turn's world."""

    __slots__ = ("home",)
    home: Home

    @property
    def ledger(self) -> Ledger:
        return self.home[0]

    def put(self, key: Any, value: Any) -> None:
        if value is GONE:
            dict.pop(self, key, None)
        else:
            _set_key(self, key, value)

    def __setitem__(self, key: Any, value: Any) -> None:
        home = self.home
        ledger = home[0]
        with ledger.lock:
            writer = ledger.writer()
            mark = ledger.mark(writer, home[1], home[2])
            found = self.get(key, GONE)
            if type(value) not in SCALARS and value is not found:
                value = admitted(ledger, mark, value)
            ledger.note_key(writer, self, key, found)
            _set_key(self, key, value)

    def __delitem__(self, key: Any) -> None:
        home = self.home
        ledger = home[0]
        with ledger.lock:
            writer = ledger.writer()
            if key in self:
                ledger.mark(writer, home[1], home[2])
                ledger.note_loss(writer, self, key, self[key], self)
            dict.__delitem__(self, key)

    def pop(self, key: Any, *default: Any) -> Any:
        ledger, name, at = self.home
        with ledger.lock:
            if key not in self:
                if default:  # a write all the same: the key is gone, whoever else took it out
                    writer = ledger.writer()
                    ledger.mark(writer, name, at)
                    ledger.note_key(writer, self, key, GONE)
                return dict.pop(self, key, *default)
            value = self[key]
            del self[key]
            return value

    def popitem(self) -> tuple[str, Any]:
        with self.home[0].lock:
            if not self:
                return dict.popitem(self)
            key = next(reversed(self))
            return key, self.pop(key)

    def clear(self) -> None:
        with self.home[0].lock:
            for key in list(self):
                del self[key]

    def setdefault(self, key: Any, default: Any = None) -> Any:
        with self.home[0].lock:
            if key not in self:
                self[key] = default
            return self[key]

    def update(self, *others: Any, **values: Any) -> None:
        given = dict(*others, **values)
        with self.home[0].lock:
            for key, value in given.items():
                self[key] = value

    def __ior__(self, other: Any) -> "LiveDict":  # type: ignore[override,misc]
        self.update(other)
        return self

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        memo[id(self)] = copied
        copied.update((key, copy.deepcopy(value, memo)) for key, value in self.items())
        return copied

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return dict, (dict(self),)


class LiveList(list[Any], Node):
    """A list of a turn's world."""

    __slots__ = ("home",)
    home: Home

    @property
    def ledger(self) -> Ledger:
        return self.home[0]

    def put(self, where: slice, values: list[Any]) -> None:
        _set_items(self, where, values)

    def _write(self, act: Callable[..., Any], *arguments: Any, new: Iterable[Any] = ()) -> Any:
        """Does what writes, with what it puts in admitted."""
        home = self.home
        ledger = home[0]
        with ledger.lock:
            writer = ledger.writer()
            mark = ledger.mark(writer, home[1], home[2])
            ledger.note_list(writer, self)
            values = [value if type(value) in SCALARS else admitted(ledger, mark, value) for value in new]
            return act(self, *arguments, *values)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            self._replace(index, list(value))
        elif type(value) in SCALARS or not self._is(index, value):
            self._write(_set_items, index, new=(value,))

    def _is(self, index: SupportsIndex, value: Any) -> bool:
        """Whether that is what stands there: `record["items"][0] |= …` puts back what it has changed."""
        at = operator.index(index)
        return -len(self) <= at < len(self) and list.__getitem__(self, at) is value

    def _replace(self, where: slice, values: list[Any]) -> None:
        home = self.home
        ledger = home[0]
        with ledger.lock:
            writer = ledger.writer()
            mark = ledger.mark(writer, home[1], home[2])
            ledger.note_list(writer, self)
            here = {id(value) for value in self}
            admit = [v if type(v) in SCALARS or id(v) in here else admitted(ledger, mark, v) for v in values]
            _set_items(self, where, admit)

    def __delitem__(self, index: Any) -> None:
        self._write(list.__delitem__, index)

    def append(self, value: Any) -> None:
        self._write(list.append, new=(value,))

    def insert(self, index: Any, value: Any) -> None:
        self._write(list.insert, index, new=(value,))

    def extend(self, values: Iterable[Any]) -> None:
        given = list(values)
        with self.home[0].lock:
            self._replace(slice(len(self), None), given)

    def __iadd__(self, values: Iterable[Any]) -> "LiveList":  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, count: SupportsIndex) -> "LiveList":
        with self.home[0].lock:
            self._replace(slice(None), list(self) * count)
            return self

    def pop(self, index: SupportsIndex = -1) -> Any:
        return self._write(list.pop, index)

    def remove(self, value: Any) -> None:
        self._write(list.remove, value)

    def clear(self) -> None:
        self._write(list.clear)

    def reverse(self) -> None:
        self._write(list.reverse)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        self._replace(slice(None), sorted(self, key=key, reverse=reverse))

    def __copy__(self) -> list[Any]:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> list[Any]:
        copied: list[Any] = []
        memo[id(self)] = copied
        copied.extend(copy.deepcopy(value, memo) for value in self)
        return copied

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return list, (list(self),)


def live(value: Any, home: Home) -> Any:
    """A live copy of a frozen value."""
    kind = type(value)
    node: Any
    if kind is FrozenDict:
        node = LiveDict(value)
        node.home = home
        for key in value.nested:
            _set_key(node, key, live(value[key], home))
        return node
    if kind is FrozenList:
        node = LiveList([live(item, home) for item in value] if value.nested else value)
        node.home = home
        return node
    return value


def admitted(ledger: Ledger, mark: Mark, value: Any) -> Any:
    """What to store for a container that is put into the world: itself, as a dict would, or a copy where its owner would
    not let this turn write to it."""
    if isinstance(value, FrozenDict | FrozenList) or (isinstance(value, Node) and value.ledger is not ledger):
        value = copy.deepcopy(value)
    mark.foreign = True
    ledger.take_in(value)
    return value


def owned(value: Any, home: Home, copies: dict[int, Any]) -> Any:
    """Live copies of foreign containers, as they were last seen, wherever they stand in a value. `copies`: by id."""
    if id(value) in copies:
        return copies[id(value)]
    ledger = home[0]
    if isinstance(value, LiveDict):
        copies[id(value)] = value
        for key, item in list(value.items()):
            if isinstance(item, dict | list | tuple):
                _set_key(value, key, owned(item, home, copies))
    elif isinstance(value, LiveList):
        copies[id(value)] = value
        _set_items(value, slice(None), [owned(item, home, copies) for item in value])
    elif isinstance(value, Node):
        return value
    elif isinstance(value, dict):
        record = copies[id(value)] = LiveDict()
        record.home = home
        for key, item in ledger.last_seen(value).items():
            _set_key(record, key, owned(item, home, copies))
        return record
    elif isinstance(value, list | tuple):
        items = LiveList()
        items.home = home
        if isinstance(value, list):
            copies[id(value)] = items
        list.extend(items, [owned(item, home, copies) for item in ledger.last_seen(value)])
        return items
    return value
