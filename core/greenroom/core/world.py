"""Worlds: the data that tools read and change, sealed in one session.

A seed is frozen and shared. A session has an overlay of the records that differ from it. A turn opens a `WorldTurn` on both:
a record becomes the turn's own when it is first read, and whoever writes to it is entered in a ledger. So tools work on dicts
and lists, a turn costs what it touches, its change set is exact, and a failed call's writes, and no others, are undone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from greenroom.core.collection import Table, open_collection
from greenroom.core.frozen import FrozenDict, FrozenList, text_of
from greenroom.core.journal import DictJournal, Journal, ListJournal
from greenroom.core.ledger import Ledger, Opened, Place, Writer
from greenroom.core.live import live, owned
from greenroom.core.overlay import Base
from greenroom.core.plain import GONE, WorldError, same_text, to_json
from greenroom.core.records import Change
from greenroom.core.schema import Injectable


class World(Table, Injectable):
    """The session's data, as a mapping of collections to records: `world["orders"]["12345"]["status"] = "cancelled"`.

    All in it are dicts and lists: read and change them in place. What a turn changes becomes visible to later turns when it
    commits, and never to another session. Values must be JSON; a failed tool call's own writes are undone.
    """

    __slots__ = ("_base",)

    def __init__(self, base: Base, ledger: Ledger) -> None:
        super().__init__(base.seed)
        self._base = base
        self.ledger = ledger
        for name, over in base.overlay.items():
            own = over.get(None, base.seed.get(name))
            self.put(name, open_collection(ledger, base, name) if isinstance(own, dict) else own)

    @classmethod
    def for_call(cls, running: Any) -> "World":
        world: World = running.turn.world_turn.world
        return world

    def place(self, key: Any) -> Place:
        if not isinstance(key, str):
            raise WorldError(f"collection names are strings, and {key!r} is not")
        return key, None

    def open_value(self, key: str, frozen: Any) -> Any:
        if isinstance(frozen, FrozenDict):
            return open_collection(self.ledger, self._base, key)
        return live(frozen, (self.ledger, key, None))

    def __setitem__(self, name: Any, value: Any) -> None:
        if isinstance(value, Mapping):
            if not isinstance(value, dict):
                value = dict(value)
            for key in value:
                if not isinstance(key, str):
                    raise WorldError(f"record keys are strings, and {key!r} in world[{name!r}] is not")
        super().__setitem__(name, value)

    def write(self, collection: str, key: str | None, value: tuple[Any, ...]) -> None:
        """Sets a record, or for key None a collection's own value; no value deletes it."""
        if key is None:
            self.pop(collection, None)
            if value:
                self[collection] = value[0]
        elif value:
            self.setdefault(collection, {})[key] = value[0]
        elif collection in self:
            self[collection].pop(key, None)


class WorldTurn:
    """One turn's working copy. `changes` is its exact effect; nothing outside sees it before the commit."""

    __slots__ = ("_base", "_world", "ledger")

    def __init__(self, base: Base) -> None:
        self._base = base
        self._world: World | None = None
        self.ledger = Ledger()

    @property
    def world(self) -> World:
        """The one that the agent and all calls of the turn share."""
        world = self._world
        if world is None:
            with self.ledger.lock:
                world = self._world = self._world or World(self._base, self.ledger)
        return world

    def begin(self) -> Writer:
        """A call begins: what runs with it as the `WRITER` writes on its behalf."""
        return self.ledger.begin()

    def commit(self, writer: Writer) -> tuple[Change, ...]:
        """A call has succeeded: its own changes. Raises `WorldError` when it left something that is not JSON; then it is
        still running."""
        ledger = self.ledger
        with ledger.lock:
            changes: tuple[Change, ...] = ()
            if self._world is not None:
                ledger.look()
                if ledger.opened:
                    self._mark_unmarked(writer)
                if ledger.places:
                    changes = tuple(self._changes_of(self._world, writer))
            ledger.end(writer, cut_off=False)
            return changes

    def undo(self, writer: Writer, *, cut_off: bool) -> None:
        """A call has failed: takes out its writes, and nobody else's. `cut_off`: its code may still run, and holds what it
        has read; nothing it does from now on lands."""
        ledger = self.ledger
        with ledger.lock:
            ledger.undo(writer)
            if self._world is not None:
                if ledger.alone:
                    self._restore_unmarked()
                if cut_off:
                    self._own_all(self._world)
            ledger.end(writer, cut_off=cut_off)

    def changes(self) -> tuple[Change, ...]:
        """What the turn changed so far, record by record, in the order of the first write to each."""
        world = self._world
        if world is None:
            return ()
        ledger = self.ledger
        with ledger.lock:
            if ledger.opened:
                self._mark_unmarked(ledger.own)
            found: list[Change] = []
            whole = {name for name, key in ledger.places if key is None}
            for (name, key), mark in ledger.in_order():
                if key is None:
                    found += _differences(name, _base_value(self._base, name), world.peek(name))
                elif name not in whole:
                    change = mark.change or change_between(
                        name, key, self._base.get(name, key), _at(world, name, key), foreign=mark.foreign
                    )
                    if change is not None:
                        found.append(change)
            return tuple(found)

    def close(self) -> None:
        """The turn is over: whoever still holds its world can no longer write to it."""
        with self.ledger.lock:
            self.ledger.close()

    def _changes_of(self, world: World, writer: Writer) -> list[Change]:
        """The difference between the world as it is and as it would be without the writer."""
        ledger, found = self.ledger, list[Change]()
        places = writer.places
        if writer.through_foreign:
            places = {**places, **{place: mark for place, mark in ledger.places.items() if mark.foreign}}
        past: Past | None = None
        for place, mark in places.items():
            name, key = place
            change = None
            if key is not None and len(mark.writers) == 1 and not mark.foreign and (name, None) not in ledger.places:
                now = _at(world, name, key)
                change = mark.change = change_between(name, key, self._base.get(name, key), now, foreign=False)
            else:
                past = past or Past(ledger.journals(), writer)
                if key is None:
                    now = world.peek(name)
                    found += _differences(name, past.whole(past.of(world, name, now)), now)
                elif (name, None) not in places:
                    now = _at(world, name, key)
                    before = past.whole(past.of(world.peek(name), key, now))
                    change = change_between(name, key, before, now, foreign=True)
            if change is not None:
                found.append(change)
        return found

    def _unmarked(self) -> Iterator[Opened]:
        """What was opened and has changed without an entry in the ledger. C code can do that to a list: `heapq` does."""
        places = self.ledger.places
        for opened in self.ledger.opened:
            table, key, frozen, value = opened
            if value != frozen and table.place(key) not in places:
                yield opened

    def _mark_unmarked(self, writer: Writer) -> None:
        for table, key, _, _ in self._unmarked():
            self.ledger.mark(writer, *table.place(key))

    def _restore_unmarked(self) -> None:
        for table, key, frozen, _ in self._unmarked():
            table.put(key, frozen)

    def _own_all(self, world: World) -> None:
        """Puts copies in the place of all foreign containers: one that has been cut off may hold them."""
        ledger = self.ledger
        copies: dict[int, Any] = {}
        for (name, key), mark in tuple(ledger.places.items()):
            if mark.foreign:
                table = world if key is None else world.peek(name)
                at = name if key is None else key
                if isinstance(table, Table) and isinstance(value := table.peek(at), dict | list | tuple):
                    table.put(at, owned(value, (ledger, name, key), copies))
        ledger.forget_foreign(copies)


class Past:
    """The world as it would be had one writer not written."""

    def __init__(self, journals: Mapping[int, Journal], writer: Writer) -> None:
        self._journals = journals
        self._writer = writer

    def of(self, container: Any, key: str, now: Any) -> Any:
        """What stands at a key of a dict; what is in that is as it is now."""
        journal = self._journals.get(id(container))
        return journal.past(self._writer, key, now) if isinstance(journal, DictJournal) else now

    def whole(self, value: Any) -> Any:
        """A value, with all that is in it."""
        journal = self._journals.get(id(value))
        if isinstance(value, FrozenDict | FrozenList):
            return value
        if isinstance(value, dict):
            items = dict(value.raw() if isinstance(value, Table) else value)
            if isinstance(journal, DictJournal):
                items = journal.without(self._writer, items)
            return {key: self.whole(item) for key, item in items.items()}
        if isinstance(value, list | tuple):
            values = list(value)
            if isinstance(journal, ListJournal):
                values = journal.without(self._writer, values)
            return [self.whole(item) for item in values]
        return value


def _at(world: World, name: str, key: str) -> Any:
    """What stands at a place now, or GONE."""
    records = world.peek(name)
    if isinstance(records, Table):
        return records.peek(key)
    return records.get(key, GONE) if isinstance(records, dict) else GONE


def _base_value(base: Base, name: str) -> Any:
    own = base.get(name, None)
    return {key: base.get(name, key) for key in base.keys(name)} if isinstance(own, dict) else own


def _differences(name: str, before: Any, after: Any) -> Iterator[Change]:
    """The changes that make one collection of another; either may be a plain value, or GONE."""
    old, new = _records(before), _records(after)
    change = change_between(name, None, before if old is None else {}, after if new is None else {}, foreign=True)
    if change is not None:
        yield change
    old, new = old or {}, new or {}
    for key in {**old, **new}:
        if not isinstance(key, str):
            raise WorldError(f"record keys are strings, and {key!r} in world[{name!r}] is not")
        change = change_between(name, key, old.get(key, GONE), new.get(key, GONE), foreign=True)
        if change is not None:
            yield change


def _records(value: Any) -> dict[str, Any] | None:
    """A collection's records; None: it is something else."""
    if isinstance(value, Table):
        return dict(value.raw())
    return value if isinstance(value, dict) else None


def change_between(name: str, key: str | None, before: Any, after: Any, *, foreign: bool) -> Change | None:
    """None: they are one JSON. `foreign`: there may be values that JSON takes for others (a tuple), and Python does not.
    Raises `WorldError` for what is none."""
    if before is after:
        return None
    old = None if before is GONE else text_of(before)
    new = None if after is GONE else _text(after, name, key)
    if old is not None and new is not None and (old == new or ((foreign or before == after) and same_text(old, new))):
        return None
    return Change(name, key, old, new)


def _text(value: Any, name: str, key: str | None) -> str:
    try:
        return to_json(value)
    except WorldError:
        return to_json(value, where(name, key))


def where(name: str, key: str | None) -> str:
    """A place as an author would write it."""
    return f"world[{name!r}]" + ("" if key is None else f"[{key!r}]")
