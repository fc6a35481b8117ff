"""A graph's store in `turn.state`."""

from collections.abc import Iterable
from typing import Any

from langgraph.store.memory import InMemoryStore

from greenroom.agents.adapters.tools import as_json
from greenroom.sdk import Turn

_ALL = 2**31

Kept = list[list[Any]]
"""Namespace, key and value of each item that differs from the graph's own store; a value of None: it is gone."""


class SessionStore:
    """For one turn, the graph's own store as the session has changed it. A store that is kept elsewhere, or searched by
    meaning, is left to the graph."""

    def __init__(self, own: Any, kept: Kept, turn: Turn) -> None:
        self.store = own
        self._before: dict[tuple[tuple[str, ...], str], Any] = {}
        self._parted = type(own) is InMemoryStore and own.index_config is None
        if not self._parted:
            return
        self._before = _items(own)
        self.store = _TurnStore(turn)
        changed = {(tuple(namespace), key): value for namespace, key, value in kept}
        for (namespace, key), value in {**self._before, **changed}.items():
            if value is not None:
                self.store.put(namespace, key, value)

    def dump(self) -> Kept:
        """As JSON, what differs."""
        if not self._parted:
            return []
        now = _items(self.store)
        changed = {place: as_json(value) for place, value in now.items() if self._before.get(place) != value}
        gone = dict.fromkeys(self._before.keys() - now.keys())
        return [[list(namespace), key, value] for (namespace, key), value in {**changed, **gone}.items()]


class _TurnStore(InMemoryStore):
    """What a tool does with it is part of the turn: a cassette does not answer in the place of such a tool."""

    __slots__ = ("_turn",)

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn

    def batch(self, ops: Iterable[Any]) -> list[Any]:
        self._turn.stays_live()
        return super().batch(ops)

    async def abatch(self, ops: Iterable[Any]) -> list[Any]:
        self._turn.stays_live()
        return await super().abatch(ops)


def _items(store: Any) -> dict[tuple[tuple[str, ...], str], Any]:
    return {(tuple(item.namespace), item.key): item.value for item in store.search((), limit=_ALL)}
