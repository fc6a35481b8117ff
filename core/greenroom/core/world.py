"""Worlds: the data that tools read and change, sealed in one session.

A seed is shared and never handed out. A session has an overlay of the records that differ from it. A turn opens a
`WorldTurn` on both: a record is copied when it is first read, and what was copied is compared at the end. So tools work
on plain dicts and lists, a turn costs what it touches, and its change set is exact.
"""

import hashlib
import json
import marshal
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from greenroom.core.records import Change, Snapshot
from greenroom.core.schema import Injectable

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

Place = tuple[str, str | None]
"""A collection and a record's key; None: the collection itself, when it is one plain value or holds no record yet."""


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


class Seed:
    """A starting world: a mapping of collections to records, by content hash. Read-only by agreement: nothing hands out
    a reference into it."""

    __slots__ = ("data", "sha", "text")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.text = to_json(data, "the starting world")
        self.data: dict[str, Any] = json.loads(self.text)
        self.sha = hashlib.sha256(self.text.encode()).hexdigest()


class Overlay:
    """The records of one session that differ from its seed. Changed only by `apply`, after a commit."""

    __slots__ = ("records", "size")

    def __init__(self) -> None:
        self.records: dict[str, dict[str | None, Any]] = {}
        self.size = 0
        """Rough bytes of JSON in it."""

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            value = GONE if change.after is None else json.loads(change.after)
            self.records.setdefault(change.collection, {})[change.key] = value
            self.size += len(change.after or "") + len(change.key or "") + 16

    def snapshot(self, turn: int) -> Snapshot:
        rows = [
            [collection, key] if value is GONE else [collection, key, value]
            for collection, records in self.records.items()
            for key, value in records.items()
        ]
        return Snapshot(turn, to_json(rows))

    @classmethod
    def restore(cls, snapshot: Snapshot | None) -> "Overlay":
        overlay = cls()
        if snapshot is not None:
            for collection, key, *value in json.loads(snapshot.overlay_json):
                overlay.records.setdefault(collection, {})[key] = value[0] if value else GONE
            overlay.size = len(snapshot.overlay_json)
        return overlay


_NO_RECORDS: Final[dict[str | None, Any]] = {}


class Base:
    """A seed under an overlay: the world as a turn finds it. What it returns must not be changed."""

    __slots__ = ("_overlay", "_seed")

    def __init__(self, seed: Seed, overlay: Overlay) -> None:
        self._seed = seed.data
        self._overlay = overlay.records

    def get(self, collection: str, key: str | None) -> Any:
        """A record, or for key None the collection's own value: {} for one of records, else the value. GONE: absent."""
        over = self._overlay.get(collection, _NO_RECORDS)
        if key in over:
            return over[key]
        seeded = self._seed.get(collection, GONE)
        if key is None:
            return {} if isinstance(seeded, dict) else seeded
        return seeded.get(key, GONE) if isinstance(seeded, dict) else GONE

    def collections(self) -> Iterator[str]:
        for name in self._seed:
            if self._overlay.get(name, _NO_RECORDS).get(None) is not GONE:
                yield name
        for name, over in self._overlay.items():
            if name not in self._seed and over.get(None) is not GONE:
                yield name

    def keys(self, collection: str) -> Iterator[str]:
        over = self._overlay.get(collection, _NO_RECORDS)
        seeded = self._seed.get(collection)
        if isinstance(seeded, dict):
            yield from (key for key in seeded if over.get(key) is not GONE) if over else iter(seeded)
        for key, value in over.items():
            if key is not None and value is not GONE and not (isinstance(seeded, dict) and key in seeded):
                yield key

    def as_data(self) -> dict[str, Any]:
        """The whole world as plain data, sharing records with the seed."""
        return {name: self._collection(name) for name in self.collections()}

    def _collection(self, name: str) -> Any:
        own = self.get(name, None)
        return {key: self.get(name, key) for key in self.keys(name)} if isinstance(own, dict) else own


def canonical(data: Mapping[str, Any]) -> str:
    """A world as JSON with sorted keys and no white space; `sha256` in SESSION-02 is over its UTF-8."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


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

    def __delitem__(self, name: str) -> None:
        self[name]
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
