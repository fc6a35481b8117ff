"""The ledger of a turn's world: who may write, who has written where, and how one call's writes are taken out again.

Two kinds of containers stand in a world. Nodes (`greenroom.core.live`, collections, the world itself) enter every write here
before they make it. Foreign ones are dicts and lists that a tool made and put into the world; its author may go on changing
them by their own names, so they are looked at whenever another writer takes over: what has changed was the last one's doing.
"""

from collections.abc import Iterable
from contextvars import ContextVar, Token
from operator import is_
from threading import RLock
from typing import Any, Final, cast

from greenroom.core.journal import Entry, Journal, Note, Order, Put, journals_of, replaced
from greenroom.core.plain import GONE, WorldError
from greenroom.core.records import Change

WRITER: Final[ContextVar["Writer | None"]] = ContextVar("greenroom_writer", default=None)
"""On whose behalf code runs. Tasks and threads that carry a context carry it along."""

Place = tuple[str, str | None]
"""A collection and a record's key; None: the collection itself."""


class Node:
    """A container of a world that enters its writes in the ledger. `put` writes without an entry."""

    __slots__ = ()
    ledger: Any
    put: Any


class Mark:
    """What is known of a place that was written in this turn."""

    __slots__ = ("change", "foreign", "writers")

    def __init__(self) -> None:
        self.writers: dict[Writer, int] = {}
        """With the number of each one's first write there."""
        self.foreign = False
        """Whether a foreign container was put there."""
        self.change: Change | None = None
        """What has become of the place, while that holds."""


class Writer:
    """A tool call, or the turn's agent: where it has written, until it is over."""

    __slots__ = ("closed", "places", "through_foreign", "turn")

    def __init__(self, turn: object) -> None:
        self.turn = turn
        """Stands for the turn: the same object for all of its writers."""
        self.closed = False
        self.places: dict[Place, Mark] = {}
        self.through_foreign = False
        """Whether it changed a foreign container, which does not know its places."""


Opened = tuple[Any, str, Any, Any]
"""A value that was made the turn's own: whose (a world or a collection), key, what it was, and what it is."""


class Ledger:
    """One turn's. Hold `lock` around looking into it and the write that follows: whoever is cut off in between is too late."""

    __slots__ = (
        "_active", "_calls", "_cut", "_entries", "_numbers", "_ordered", "_pending", "_seen", "_stretches", "_turn",
        "lock", "opened", "own", "places",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lock = RLock()
        self._turn = object()
        self._active = self.own = Writer(self._turn)
        """`own`: the turn's agent. `_active`: who was last seen at work."""
        self.places: dict[Place, Mark] = {}
        self.opened: list[Opened] = []
        self._calls: dict[Writer, None] = {}
        self._cut = False
        self._numbers = 0
        self._entries: list[Entry] = []
        """All writes since the last time that no call was running: nothing before them can be undone."""
        self._stretches: dict[int, Writer] = {}
        """Who wrote last to a list, by its id."""
        self._ordered: set[int] = set()
        """The dicts whose order is in the entries."""
        self._seen: dict[int, tuple[Any, Any]] = {}
        """Foreign containers, with a copy of what each held when it was last looked at."""
        self._pending: list[Any] = []
        """Values put into the world since then."""

    # Who writes

    def begin(self) -> Writer:
        """A call begins."""
        writer = Writer(self._turn)
        self._calls[writer] = None
        return writer

    def writer(self) -> Writer:
        """On whose behalf this code runs. Raises `WorldError` when that one is over."""
        found = WRITER.get()
        if found is None or found.turn is not self._turn:
            found = self._stranger(found)
        if found.closed:
            raise WorldError("this world is closed: the tool call or turn it belongs to has ended")
        if found is not self._active:
            with self.lock:
                self.look()
                self._active = found
        return found

    def _stranger(self, found: Writer | None) -> Writer:
        """A thread without a context of its own belongs to the one call there is, or to the agent."""
        if found is not None:
            raise WorldError("this world belongs to another turn")
        with self.lock:
            if self._cut:
                raise WorldError("this thread does not say which tool call it belongs to, and one has been cut off")
            return next(iter(self._calls)) if len(self._calls) == 1 else self.own

    @property
    def alone(self) -> bool:
        """Whether at most one call is running."""
        return len(self._calls) < 2

    # What is written

    def mark(self, writer: Writer, name: str, key: str | None) -> Mark:
        """`writer` is about to write at this place."""
        place = (name, key)
        mark = writer.places.get(place)
        if mark is None:
            mark = self.places.get(place)
            if mark is None:
                mark = self.places[place] = Mark()
            self._numbers += 1
            mark.writers[writer] = self._numbers
            writer.places[place] = mark
        mark.change = None
        return mark

    def note_key(self, writer: Writer, target: dict[Any, Any], key: Any, found: Any) -> None:
        """`writer` is about to write a key of a dict. The agent's own writes count where a call has written before."""
        if writer is not self.own or self._entries:
            self._entries.append(Note(writer, target, key, found))

    def note_loss(self, writer: Writer, target: dict[Any, Any], key: Any, found: Any, keys: Iterable[Any]) -> None:
        """`writer` is about to delete a key of a dict whose keys these are."""
        if writer is not self.own or self._entries:
            if id(target) not in self._ordered:
                self._ordered.add(id(target))
                self._entries.append(Order(target, list(keys)))
            self._entries.append(Note(writer, target, key, found))

    def note_list(self, writer: Writer, target: list[Any], found: list[Any] | None = None) -> None:
        """`writer` is about to write to a list, or has made it from `found`."""
        if self._stretches.get(id(target)) is not writer and (writer is not self.own or self._entries):
            self._stretches[id(target)] = writer
            self._entries.append(Note(writer, target, None, list(target if found is None else found)))

    def journals(self) -> dict[int, Journal]:
        """Who has written what, by the id of the dict or list."""
        return journals_of(self._entries, put_of)

    # Foreign containers

    def take_in(self, value: Any) -> None:
        """A foreign value is put into the world."""
        self._pending.append(value)

    def look(self) -> None:
        """Enters what became of foreign containers since the last look, as the active writer's doing."""
        if self._seen:
            for target, seen in tuple(self._seen.values()):
                if isinstance(target, dict):
                    self._look_at_dict(target, seen)
                else:
                    self._look_at_list(target, seen)
        if self._pending:
            for value in self._pending:
                self._watch(value)
            self._pending.clear()

    def _look_at_dict(self, target: dict[Any, Any], seen: dict[Any, Any]) -> None:
        now = dict(target)
        if len(now) == len(seen) and all(map(is_, now.values(), seen.values())) and now.keys() == seen.keys():
            return
        writer = self._active
        writer.through_foreign = True
        for key in {**seen, **now}:
            found = seen.get(key, GONE)
            if found is not now.get(key, GONE):
                self.note_key(writer, target, key, found)
        self._seen[id(target)] = (target, now)
        self._watch_all(now.values())

    def _look_at_list(self, target: list[Any], seen: list[Any]) -> None:
        now = list(target)
        if len(now) == len(seen) and all(map(is_, now, seen)):
            return
        writer = self._active
        writer.through_foreign = True
        self.note_list(writer, target, seen)
        self._seen[id(target)] = (target, now)
        self._watch_all(now)

    def _watch_all(self, values: Any) -> None:
        for value in values:
            if isinstance(value, dict | list | tuple):
                self._watch(value)

    def _watch(self, value: Any) -> None:
        if isinstance(value, tuple):
            self._watch_all(value)
        elif isinstance(value, dict | list) and not isinstance(value, Node) and id(value) not in self._seen:
            copy: Any = dict(value) if isinstance(value, dict) else list(value)
            self._seen[id(value)] = (value, copy)
            self._watch_all(copy.values() if isinstance(copy, dict) else copy)

    def last_seen(self, value: Any) -> Any:
        """What a foreign container held when it was last looked at; whoever holds it may have changed it since."""
        return self._seen.get(id(value), (value, value))[1]

    def forget_foreign(self, copies: dict[int, Any]) -> None:
        """Copies, by the id of what was copied, have taken the place of all foreign containers."""
        self._keep([replaced(entry, copies) for entry in self._entries])
        self._seen.clear()
        self._pending.clear()

    def _keep(self, entries: Iterable[Entry]) -> None:
        """These are the entries from now on."""
        self._entries = list(entries)
        self._stretches.clear()
        self._ordered.clear()
        for entry in self._entries:
            if isinstance(entry, Order):
                self._ordered.add(id(entry.target))
            elif isinstance(entry.target, list):
                self._stretches[id(entry.target)] = cast("Writer", entry.writer)

    # What is over

    def undo(self, writer: Writer) -> None:
        """Takes out a call's writes, and only those."""
        self.look()
        journals = self.journals()
        for journal in journals.values():
            if journal.undo(writer) and id(journal.target) in self._seen:
                target: Any = journal.target
                self._seen[id(target)] = (target, dict(target) if isinstance(target, dict) else list(target))
        self._keep(entry for journal in journals.values() for entry in journal.entries())
        for place, mark in writer.places.items():
            del mark.writers[writer]
            mark.change = None
            if not mark.writers:
                del self.places[place]

    def end(self, writer: Writer, *, cut_off: bool) -> None:
        """A call, or the agent, is over. `cut_off`: its code may still run."""
        writer.closed = True
        self._cut = self._cut or cut_off
        self._calls.pop(writer, None)
        if self._active is writer:
            self.look()
            self._active = self.own
        writer.places.clear()
        if not self._calls and self._entries:
            self._keep(())

    def close(self) -> None:
        """The turn is over, with all its calls; what could be undone no longer can."""
        for writer in (self.own, *self._calls):
            writer.closed = True
            writer.places.clear()
        self._calls.clear()
        self.opened.clear()
        if self._entries:
            self._keep(())
        if self._seen or self._pending:
            self._seen.clear()
            self._pending.clear()

    def in_order(self) -> Iterable[tuple[Place, Mark]]:
        """The places in the order of the first write to each."""
        if len(self.places) < 2:
            return self.places.items()
        return sorted(self.places.items(), key=lambda item: next(iter(item[1].writers.values())))


def put_of(target: Any) -> Put:
    """A foreign container is written with the methods of its own class, which may keep more than a dict or a list does."""
    if isinstance(target, Node):
        put: Put = target.put
        return put
    if isinstance(target, list):
        return target.__setitem__

    def put_key(key: Any, value: Any) -> None:
        if value is GONE:
            target.pop(key, None)
        else:
            target[key] = value

    return put_key


def leave(before: Token["Writer | None"]) -> None:
    """Sets `WRITER` back to what it was."""
    try:
        WRITER.reset(before)
    except ValueError:  # a coroutine that was closed from elsewhere: its own context is gone
        return
