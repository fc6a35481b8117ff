"""Worlds: the data that tools read and change, sealed in one session.

A seed is shared and never handed out. A session has an overlay of the records that differ from it. A turn opens a
`WorldTurn` on both: a record is copied when it is first read, and what was copied is compared at the end. So tools work
on plain dicts and lists, a turn costs what it touches, and its change set is exact.
"""

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from greenroom.core.overlay import Base
from greenroom.core.plain import GONE, Image, WorldError, image_of, same, to_json, value_of
from greenroom.core.records import Change
from greenroom.core.schema import Injectable

Place = tuple[str, str | None]
"""A collection and a record's key; None: the collection itself, when it is one plain value or holds no record yet."""


class WorldTurn:
    """One turn's working copy. `changes` is its exact effect; nothing outside sees it before the commit."""

    __slots__ = ("_base", "_cells", "_fresh", "_images")

    def __init__(self, base: Base) -> None:
        self._base = base
        self._cells: dict[Place, Any] = {}
        self._images: dict[Place, Image] = {}
        """The records read so far, as the turn found them."""
        self._fresh: dict[str, dict[str, None]] = {}
        """Keys that are new in this turn, in order of creation, by collection."""

    def read(self, place: Place) -> Any:
        """The turn's own copy of a record, or GONE."""
        value = self._cells.get(place, self)
        if value is self:
            value = self._base.get(*place)
            image = self._images[place] = image_of(value, "the starting world")
            value = self._cells[place] = value_of(image)
        return value

    def holds_records(self, place: Place) -> bool:
        """Whether this is a collection of records that the turn has not replaced: looking into it touches nothing yet."""
        return place not in self._cells and isinstance(self._base.get(*place), dict)

    def image(self, place: Place) -> Image:
        """The record as it is now."""
        if place not in self._cells:
            self.read(place)
            return self._images[place]
        return image_of(self._cells[place], where(place))

    def write(self, place: Place, value: Any) -> None:
        collection, key = place
        if self._base.get(collection, key) is GONE:
            fresh = self._fresh.setdefault(collection, {})
            if key is not None:
                if value is GONE:
                    fresh.pop(key, None)
                else:
                    fresh[key] = None
        self._cells[place] = value

    def collections(self) -> Iterator[str]:
        for name in self._base.collections():
            if self._cells.get((name, None)) is not GONE:
                yield name
        for name in list(self._fresh):
            if self._base.get(name, None) is GONE and self._cells.get((name, None), GONE) is not GONE:
                yield name

    def keys(self, collection: str) -> Iterator[str]:
        cells = self._cells
        for key in self._base.keys(collection):
            if cells.get((collection, key)) is not GONE:
                yield key
        yield from tuple(self._fresh.get(collection, ()))

    def change_since(self, place: Place, before: Image) -> Change | None:
        """What became of a record since it was imaged; None: nothing. Raises `WorldError` when it is not JSON now."""
        now = self._cells.get(place, GONE)
        if isinstance(before, bytes) and image_of(now, where(place)) == before:
            return None
        was = value_of(before)
        if was is now or (was is not GONE and now is not GONE and same(was, now)):
            return None
        return Change(
            place[0],
            place[1],
            None if was is GONE else to_json(was, where(place)),
            None if now is GONE else to_json(now, where(place)),
        )

    def changes(self) -> tuple[Change, ...]:
        """What the turn changed so far, record by record, in the order in which records were first touched."""
        found: list[Change] = []
        for place in self._cells:
            before = self._images[place] if place in self._images else image_of(self._base.get(*place), where(place))
            change = self.change_since(place, before)
            if change is not None:
                found.append(change)
        return tuple(found)


def where(place: Place) -> str:
    """A place as an author would write it."""
    return f"world[{place[0]!r}]" + ("" if place[1] is None else f"[{place[1]!r}]")


class Touches:
    """What one tool call touched, with each record as it was before: its changes, and the way back."""

    __slots__ = ("_before", "_meanwhile", "_world", "closed")

    def __init__(self, world: WorldTurn) -> None:
        self._world = world
        self._before: dict[Place, Image] = {}
        self._meanwhile: tuple[Change, ...] = ()
        self.closed = False

    def note(self, place: Place) -> None:
        if self.closed:
            raise WorldError("this world is closed: the tool call or turn it belongs to has ended")
        if place not in self._before:
            self._before[place] = self._world.image(place)

    def changes(self) -> tuple[Change, ...]:
        found: list[Change] = []
        for place, before in self._before.items():
            change = self._world.change_since(place, before)
            if change is not None:
                found.append(change)
        return tuple(found)

    def meanwhile(self, changes: tuple[Change, ...]) -> None:
        """Another call of the turn has succeeded while this one runs: its changes outlive an `undo` of this one."""
        self._meanwhile += changes

    def undo(self, *, detach: bool) -> None:
        """Puts every record back as it was, with what other calls have done to it since. `detach` leaves the old objects
        to whoever still holds them (a tool that outlives its call); otherwise dicts keep their identity."""
        for place, image in reversed(self._before.items()):
            now, before = self._world.read(place), value_of(image)
            for change in self._meanwhile:
                if (change.collection, change.key) == place:
                    before = _replayed(before, _read(change.before), _read(change.after))
            if isinstance(now, dict) and isinstance(before, dict) and not detach:
                now.clear()
                now.update(before)
            else:
                self._world.write(place, before)


def _read(text: str | None) -> Any:
    return GONE if text is None else json.loads(text)


def _replayed(value: Any, before: Any, after: Any) -> Any:
    """`value` after what made `after` of `before`, field by field where all are objects."""
    if not (isinstance(value, dict) and isinstance(before, dict) and isinstance(after, dict)):
        return after
    for key in {**before, **after}:
        was, now = before.get(key, GONE), after.get(key, GONE)
        if now is GONE:
            value.pop(key, None)
        elif was is GONE or not same(was, now):
            value[key] = _replayed(value.get(key, GONE), was, now)
    return value


class Collection(MutableMapping[str, Any]):
    """One collection of a world: record keys to records. Records are plain data, changed in place at any depth."""

    __slots__ = ("_name", "_touches", "_world")

    def __init__(self, name: str, world: WorldTurn, touches: Touches) -> None:
        self._name = name
        self._world = world
        self._touches = touches

    def __getitem__(self, key: str) -> Any:
        place = (self._name, key)
        self._touches.note(place)
        value = self._world.read(place)
        if value is GONE:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise WorldError(f"record keys are strings, and {key!r} in world[{self._name!r}] is not")
        place = (self._name, key)
        self._touches.note(place)
        self._world.write(place, value)

    def __delitem__(self, key: str) -> None:
        self[key]
        self._world.write((self._name, key), GONE)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._world.keys(self._name)))

    def __len__(self) -> int:
        return sum(1 for _ in self._world.keys(self._name))

    def __eq__(self, other: object) -> bool:
        return dict(self) == (dict(other) if isinstance(other, Mapping) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self))


class World(MutableMapping[str, Any], Injectable):
    """The session's data, as a mapping of collections to records: `world["orders"]["12345"]["status"] = "cancelled"`.

    Records are plain dicts and lists: read and change them in place. What a turn changes becomes visible to later turns
    when it commits, and never to another session. Values must be JSON; a failed tool call's own writes are undone.
    """

    __slots__ = ("_touches", "_world")

    def __init__(self, world: WorldTurn, touches: Touches) -> None:
        self._world = world
        self._touches = touches

    @classmethod
    def for_call(cls, running: Any) -> "World":
        return cls(running.turn.world_turn, running.touches)

    def __getitem__(self, name: str) -> Any:
        place = (name, None)
        if self._world.holds_records(place) and not self._touches.closed:
            return Collection(name, self._world, self._touches)
        self._touches.note(place)
        value = self._world.read(place)
        if value is GONE:
            raise KeyError(name)
        return Collection(name, self._world, self._touches) if isinstance(value, dict) else value

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise WorldError(f"collection names are strings, and {name!r} is not")
        if isinstance(value, Collection) and value._name == name:
            return
        self._clear(name)
        place = (name, None)
        self._touches.note(place)
        if isinstance(value, Mapping):
            self._world.write(place, {})
            collection = Collection(name, self._world, self._touches)
            for key, record in value.items():
                collection[key] = record
        else:
            self._world.write(place, value)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As a dict's; what it returns is the collection itself, also when it is new."""
        if name not in self:
            self[name] = default
        return self[name]

    def __delitem__(self, name: str) -> None:
        self[name]
        self._touches.note((name, None))
        self._clear(name)
        self._world.write((name, None), GONE)

    def _clear(self, name: str) -> None:
        collection = Collection(name, self._world, self._touches)
        for key in collection:
            del collection[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._world.collections()))

    def __len__(self) -> int:
        return sum(1 for _ in self._world.collections())

    def __repr__(self) -> str:
        return f"World({', '.join(self)})"
