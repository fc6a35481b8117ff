"""Where a session stands after one of its turns, and the cache of the newest such places."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from greenroom.core import usage
from greenroom.core.overlay import Overlay
from greenroom.core.ports import Store
from greenroom.core.records import SessionRecord, Snapshot, Start, TurnRecord
from greenroom.core.transcript import START, Standing
from greenroom.core.waiting import SessionName

_SNAPSHOT_BYTES = 64 * 1024
_TURN_BYTES = 1500  # what a turn's record takes beside its texts


@dataclass(slots=True)
class Branch:
    """A path of a session with the world at its end. It grows by `extend`, after a commit."""

    path: list[TurnRecord]
    overlay: Overlay
    tokens: int
    unsaved_bytes: int
    """World changes since the last snapshot."""
    calls: dict[str, int] = field(default_factory=dict)
    """How often each tool was called on the path."""

    @classmethod
    def empty(cls) -> "Branch":
        return cls([], Overlay(), 0, 0)

    @classmethod
    async def load(cls, store: Store, session: SessionRecord, number: int) -> "Branch":
        """Reads the branch that ends at this turn. Raises `StoreUnavailable`."""
        if number == 0:
            return cls.empty()
        path = await store.load_path(session, number)
        return cls.of(path.turns, path.snapshot)

    @classmethod
    def of(cls, turns: Sequence[TurnRecord], snapshot: Snapshot | None = None) -> "Branch":
        """The branch that these turns make, the newest snapshot among them given."""
        overlay = Overlay.restore(snapshot)
        saved = overlay.size
        for turn in turns:
            if snapshot is None or turn.number > snapshot.turn:
                overlay.apply(turn.changes)
        branch = cls(list(turns), overlay, usage.of_turns(turns), overlay.size - saved)
        branch._count(turns)
        return branch

    @property
    def last(self) -> TurnRecord | None:
        return self.path[-1] if self.path else None

    @property
    def start(self) -> Start | None:
        """From where the path began; None: it is empty."""
        return self.path[0].start if self.path else None

    @property
    def number(self) -> int:
        return self.path[-1].number if self.path else 0

    @property
    def hashes(self) -> tuple[bytes, bytes]:
        last = self.last
        return (last.users_hash, last.path_hash) if last else (START, START)

    def extend(self, turns: Sequence[TurnRecord], tokens: int) -> None:
        """`tokens` are those of the whole conversation, now that these turns are in it."""
        for turn in turns:
            before = self.overlay.size
            self.overlay.apply(turn.changes)
            self.unsaved_bytes += self.overlay.size - before
            self.path.append(turn)
        self.tokens = tokens
        self._count(turns)

    def _count(self, turns: Iterable[TurnRecord]) -> None:
        for turn in turns:
            for call in turn.tool_calls:
                self.calls[call.name] = self.calls.get(call.name, 0) + 1

    def wants_snapshot(self) -> bool:
        """Whether reading the deltas back costs more than reading the whole overlay would."""
        return self.unsaved_bytes > max(_SNAPSHOT_BYTES, 2 * self._overlay_bytes())

    def _overlay_bytes(self) -> int:
        return self.overlay.size - self.unsaved_bytes

    def snapshot(self) -> Snapshot:
        """The overlay as it is now, to be stored with the next commit."""
        self.unsaved_bytes = 0
        return self.overlay.snapshot(self.number)


@dataclass(slots=True)
class Live:
    """A session in memory: its record and the branch at its head."""

    record: SessionRecord
    branch: Branch
    undelivered: bool | None = None
    """Whether the client of the newest turn has left without its reply; None: the store has not been asked."""

    def standing(self) -> Standing:
        users, path = self.branch.hashes
        record = self.record
        return Standing(record.head, users, path, self.branch.path, record.transcript_mode, record.turn_count)


class Cache:
    """The sessions used last, bounded in bytes. What falls out is read again; the compare-and-set catches a stale one."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._live: OrderedDict[SessionName, tuple[Live, int]] = OrderedDict()
        self._bytes = 0

    def get(self, name: SessionName) -> Live | None:
        entry = self._live.get(name)
        if entry is None:
            return None
        self._live.move_to_end(name)
        return entry[0]

    def put(self, name: SessionName, live: Live) -> None:
        """Keeps a session that was just read."""
        self.drop(name)
        self._keep(name, live, size_of(live.branch.path) + live.branch.overlay.size)

    def grew(self, name: SessionName, live: Live, turns: Sequence[TurnRecord]) -> None:
        """Keeps a session that these turns were just added to."""
        _, size = self._live.pop(name, (live, 0))
        self._bytes -= size
        self._keep(name, live, size + size_of(turns))

    def drop(self, name: SessionName) -> None:
        _, size = self._live.pop(name, (None, 0))
        self._bytes -= size

    def clear(self) -> None:
        """Forgets all; what is needed is read again."""
        self._live.clear()
        self._bytes = 0

    def _keep(self, name: SessionName, live: Live, size: int) -> None:
        self._live[name] = (live, size)
        self._bytes += size
        while self._bytes > self._capacity and len(self._live) > 1:
            _, (_, dropped) = self._live.popitem(last=False)
            self._bytes -= dropped


def size_of(turns: Iterable[TurnRecord]) -> int:
    """Rough bytes in memory."""
    return sum(turn_bytes(turn) for turn in turns)


def turn_bytes(turn: TurnRecord) -> int:
    size = _TURN_BYTES + len(turn.reply) + len(turn.state_json) + len(turn.metadata_json) + len(turn.evaluation_json)
    size += len(turn.memory_json)
    for message in turn.messages:
        size += len(message.content or "")
    for change in turn.changes:
        size += len(change.after or "") + len(change.before or "")
    for call in turn.tool_calls:
        size += len(call.result_json) + len(call.arguments_json) + 300
    return size
