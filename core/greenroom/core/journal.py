"""Who wrote what into one dict or list: so that one call's writes can be taken out, and nobody else's."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from difflib import SequenceMatcher
from operator import is_
from typing import Any, NamedTuple

from greenroom.core.plain import GONE

Put = Callable[[Any, Any], None]
"""Sets a dict's key (GONE deletes it) or a list's slice, without a note of it."""


class Note(NamedTuple):
    """A write that is about to happen: of a key of a dict, or the first of several in a row by one writer to a list."""

    writer: object
    target: Any
    key: Any
    found: Any
    """The key's value, GONE for none; the list's items."""


class Order(NamedTuple):
    """The keys of a dict before one of them is deleted for the first time: putting it back must not put it last."""

    target: Any
    keys: list[Any]


Entry = Note | Order


class DictJournal:
    """The writes to a dict, key by key. What a write made of a key is what the next one found there."""

    def __init__(self, target: dict[Any, Any], put: Put) -> None:
        self.target = target
        self._put = put
        self._notes: list[Note] = []
        self._order: Order | None = None

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Note):
            self._notes.append(entry)
        else:
            self._order = entry

    def entries(self) -> Iterable[Entry]:
        return self._notes if self._order is None else (self._order, *self._notes)

    def without(self, writer: object, values: dict[Any, Any]) -> dict[Any, Any]:
        """The dict's values, given as they are, as they would be had the writer not written."""
        for key, value in self._removed(writer)[1].items():
            if value is GONE:
                values.pop(key, None)
            else:
                values[key] = value
        return values

    def past(self, writer: object, key: Any, now: Any) -> Any:
        """One key's value as it would be, had the writer not written."""
        return self._removed(writer)[1].get(key, now)

    def undo(self, writer: object) -> bool:
        """Takes out what the writer wrote; False: it wrote nothing."""
        before = len(self._notes)
        self._notes, found = self._removed(writer)
        for key, value in found.items():
            self._put(key, value)
        if self._order is not None and found:
            self._reorder(self._order.keys)
        return len(self._notes) < before

    def _removed(self, writer: object) -> tuple[list[Note], dict[Any, Any]]:
        """The notes of the others, and what the keys are that the writer was the last to write."""
        kept: list[Note] = []
        pending: dict[Any, Any] = {}
        for note in self._notes:
            if note.writer is writer:
                pending.setdefault(note.key, note.found)
            elif note.key in pending:
                kept.append(note._replace(found=pending.pop(note.key)))
            else:
                kept.append(note)
        return kept, pending

    def _reorder(self, order: list[Any]) -> None:
        values = dict(dict.items(self.target))  # not as whoever reads a collection, which would open its records
        known = set(order)
        wanted = [key for key in order if key in values] + [key for key in values if key not in known]
        if wanted == list(values):
            return
        for key in values:
            self._put(key, GONE)
        for key in wanted:
            self._put(key, values[key])


class ListJournal:
    """The writes to a list, as the items that each stretch of one writer's began with."""

    def __init__(self, target: list[Any], put: Put) -> None:
        self.target = target
        self._put = put
        self._notes: list[Note] = []

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Note):
            self._notes.append(entry)

    def entries(self) -> Iterable[Entry]:
        return self._notes

    def without(self, writer: object, values: list[Any]) -> list[Any]:
        """The list's items, given as they are, as they would be had the writer not written."""
        return self._removed(writer, values)[1]

    def undo(self, writer: object) -> bool:
        """Takes out what the writer wrote; False: it wrote nothing."""
        if all(note.writer is not writer for note in self._notes):
            return False
        self._notes, values = self._removed(writer, list(self.target))
        self._put(slice(None), values)
        return True

    def _removed(self, writer: object, now: list[Any]) -> tuple[list[Note], list[Any]]:
        kept: list[Note] = []
        values: list[Any] | None = None
        ends = [*(note.found for note in self._notes[1:]), now]
        for note, end in zip(self._notes, ends, strict=True):
            if note.writer is writer:
                values = note.found if values is None else values
                continue
            before = note.found if values is None else values
            if not kept or kept[-1].writer is not note.writer:
                kept.append(note._replace(found=before))
            if values is not None:
                values = merged(values, note.found, end)
        return kept, now if values is None else values


Journal = DictJournal | ListJournal


def journals_of(entries: Iterable[Entry], put_of: Callable[[Any], Put]) -> dict[int, Journal]:
    """By the id of what they are about."""
    journals: dict[int, Journal] = {}
    for entry in entries:
        target = entry.target
        journal = journals.get(id(target))
        if journal is None:
            make: Any = ListJournal if isinstance(target, list) else DictJournal
            journal = journals[id(target)] = make(target, put_of(target))
        journal.add(entry)
    return journals


def replaced(entry: Entry, copies: Mapping[int, Any]) -> Entry:
    """The entry, with copies in the place of what they are copies of; by its id."""
    if isinstance(entry, Order):
        return entry._replace(target=copies.get(id(entry.target), entry.target))
    found = entry.found
    if isinstance(entry.target, list):
        found = [copies.get(id(value), value) for value in found]
    else:
        found = copies.get(id(found), found)
    return entry._replace(target=copies.get(id(entry.target), entry.target), found=found)


def merged(values: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    """`values` after what made `after` of `before`, where `before` is `values` after somebody else's writes."""
    if _identical(values, before):
        return after
    survivors: dict[int, int] = {}
    """Where an item of `before` stands in `values`."""
    for tag, start, end, other_start, other_end in _opcodes(before, values):
        if tag == "equal" or (tag == "replace" and end - start == other_end - other_start):
            survivors.update(zip(range(start, end), range(other_start, other_end), strict=True))
    result: list[list[Any]] = [[value] for value in values]
    ahead: list[Any] = []
    for tag, start, end, other_start, other_end in _opcodes(before, after):
        if tag == "equal":
            continue
        new = after[other_start:other_end]
        at = max((survivors[i] for i in range(start) if i in survivors), default=-1)
        for i in range(start, end):
            if i in survivors:
                at = survivors[i]
                result[at][0:1] = []
        if new:
            ahead = _added(result, ahead, at, new)
    return [*ahead, *(value for group in result for value in group)]


def _added(result: list[list[Any]], ahead: list[Any], at: int, new: list[Any]) -> list[Any]:
    if at < 0:
        return [*ahead, *new]
    result[at].extend(new)
    return ahead


def _opcodes(a: list[Any], b: list[Any]) -> list[tuple[str, int, int, int, int]]:
    """How to make `b` of `a`. What both begin and end with is left out of the comparison, which is slow."""
    keys, others = [_key(value) for value in a], [_key(value) for value in b]
    first, last, shorter = 0, 0, min(len(keys), len(others))
    while first < shorter and keys[first] == others[first]:
        first += 1
    while last < shorter - first and keys[-1 - last] == others[-1 - last]:
        last += 1
    middle = SequenceMatcher(None, keys[first : len(keys) - last], others[first : len(others) - last], autojunk=False)
    inner = [(tag, i + first, j + first, k + first, m + first) for tag, i, j, k, m in middle.get_opcodes()]
    ends = (len(keys) - last, len(keys), len(others) - last, len(others))
    return [("equal", 0, first, 0, first), *inner, ("equal", *ends)]


def _key(value: Any) -> Hashable:
    """Containers are known by identity: what is in them has a journal of its own."""
    kind = type(value)
    return (kind, value) if kind in (str, int, float, bool, type(None)) else id(value)


def _identical(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(is_, a, b))
