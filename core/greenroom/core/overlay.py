"""A world as a turn finds it: a seed that all sessions share, and over it the records in which one session differs."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from greenroom.core.frozen import FrozenDict, freeze, freeze_text
from greenroom.core.plain import GONE, to_json
from greenroom.core.records import Change, Snapshot


class Seed:
    """A starting world: a mapping of collections to records, by content hash. Every session reads the one copy."""

    __slots__ = ("_data", "sha", "text")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.text = to_json(data, "the starting world")
        self.sha = hashlib.sha256(self.text.encode()).hexdigest()
        self._data: FrozenDict | None = None

    @property
    def data(self) -> FrozenDict:
        """Read when it is first wanted."""
        data = self._data
        if data is None:
            data = self._data = freeze(json.loads(self.text))
        return data


class Overlay:
    """The records of one session that differ from its seed, frozen. Changed only by `apply`, after a commit."""

    __slots__ = ("records", "size")

    def __init__(self) -> None:
        self.records: dict[str, dict[str | None, Any]] = {}
        self.size = 0
        """Rough bytes of JSON in it."""

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            value = GONE if change.after is None else freeze_text(change.after)
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
                overlay.records.setdefault(collection, {})[key] = freeze(value[0]) if value else GONE
            overlay.size = len(snapshot.overlay_json)
        return overlay


_NO_RECORDS: Final[dict[str | None, Any]] = {}


class Base:
    """A seed under an overlay: the world as a turn finds it. All values in it are frozen."""

    __slots__ = ("overlay", "seed")

    def __init__(self, seed: Seed, overlay: Overlay) -> None:
        self.seed = seed.data
        self.overlay = overlay.records

    def get(self, collection: str, key: str | None) -> Any:
        """A record, or for key None the collection's own value: {} for one of records, else the value. GONE: absent."""
        over = self.overlay.get(collection, _NO_RECORDS)
        if key in over:
            return over[key]
        seeded = self.seed.get(collection, GONE)
        if key is None:
            return {} if isinstance(seeded, dict) else seeded
        return seeded.get(key, GONE) if isinstance(seeded, dict) else GONE

    def collections(self) -> Iterator[str]:
        for name in self.seed:
            if self.overlay.get(name, _NO_RECORDS).get(None) is not GONE:
                yield name
        for name, over in self.overlay.items():
            if name not in self.seed and over.get(None) is not GONE:
                yield name

    def records(self, collection: str) -> tuple[FrozenDict | None, Mapping[str | None, Any]]:
        """The seed's records of a collection, if it has any, and those that replace them."""
        seeded = self.seed.get(collection)
        return (seeded if isinstance(seeded, FrozenDict) else None), self.overlay.get(collection, _NO_RECORDS)

    def keys(self, collection: str) -> Iterator[str]:
        seeded, over = self.records(collection)
        return self._keys(seeded or {}, over) if over else iter(seeded or ())

    def _keys(self, seeded: Mapping[str, Any], over: Mapping[str | None, Any]) -> Iterator[str]:
        for key in seeded:
            if over.get(key) is not GONE:
                yield key
        for new, value in over.items():
            if new is not None and value is not GONE and new not in seeded:
                yield new

    def size(self, collection: str) -> int:
        """How many keys there are, at the cost of the session's own records."""
        seeded, over = self.records(collection)
        count = len(seeded) if seeded is not None else 0
        for key, value in over.items():
            if key is not None:
                known = seeded is not None and key in seeded
                count += (value is not GONE) - known
        return count

    def as_data(self) -> dict[str, Any]:
        """The whole world, for reading: its records are the seed's and the overlay's own."""
        return {name: self._collection(name) for name in self.collections()}

    def _collection(self, name: str) -> Any:
        own = self.get(name, None)
        return {key: self.get(name, key) for key in self.keys(name)} if isinstance(own, dict) else own


def canonical(data: Mapping[str, Any]) -> str:
    """A world as JSON with sorted keys and no white space; `sha256` in SESSION-02 is over its UTF-8."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
