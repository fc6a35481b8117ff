"""A store that forgets: for tests, and for `greenroom.sdk.testing`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

import msgspec

from greenroom.core.errors import InvalidRequest
from greenroom.core.ports import DuplicateAttempt, MissingSession, StaleSession
from greenroom.core.records import (
    Candidate,
    Conversation,
    FailedTurn,
    Page,
    Path,
    Remembered,
    SessionRecord,
    Snapshot,
    TurnCommit,
    TurnRecord,
    UserRecord,
)

T = TypeVar("T")

_CONVERSATIONS = 100
_LAST_TURNS = 100
_MAX_FAILURES = 100
_IDEMPOTENT_SECONDS = 24 * 3600
_SEED_GRACE_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class MemoryHealth:
    """A `StoreHealth`."""

    status: str = "healthy"
    detail: str = ""


@dataclass(slots=True)
class _Entry:
    session: SessionRecord
    turns: dict[int, TurnRecord] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    undelivered: set[int] = field(default_factory=set)

    def path(self, number: int) -> list[TurnRecord]:
        """Newest first."""
        found = []
        while turn := self.turns.get(number):
            found.append(turn)
            number = turn.parent
        return found


class MemoryStore:
    """See `greenroom.core.ports.Store`. No method ever waits, so each is atomic. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.exclusive = True
        self._clock = clock
        self._sessions: dict[tuple[str, str], _Entry] = {}
        self._chats: dict[tuple[str, str], tuple[str, str]] = {}
        self._keys: set[int] = set()
        self._attempts: dict[str, tuple[tuple[str, str], int]] = {}
        self._users: dict[tuple[str, str], UserRecord] = {}
        self._user_places: dict[tuple[str, str], int] = {}
        self._places = count(1)
        self._seeds: dict[str, tuple[str, float]] = {}
        self._failures: list[FailedTurn] = []

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to write out."""

    async def health(self) -> MemoryHealth:
        return MemoryHealth()

    # Turns

    async def load_session(self, namespace: str, session_id: str) -> SessionRecord | None:
        entry = self._sessions.get((namespace, session_id))
        return None if entry is None else entry.session

    async def load_path(self, session: SessionRecord, number: int, *, whole: bool = False) -> Path:
        entry = self._entry(session)
        turns = entry.path(number)
        if whole:
            return Path(tuple(reversed(turns)))
        snapshot = next((entry.snapshots[turn.number] for turn in turns if turn.number in entry.snapshots), None)
        covered = 0 if snapshot is None else snapshot.turn
        return Path(
            tuple(
                msgspec.structs.replace(turn, changes=()) if turn.number <= covered else turn
                for turn in reversed(turns)
            ),
            snapshot,
        )

    async def find_candidates(
        self, session: SessionRecord, hashes: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[Candidate]:
        users, both = {pair[0] for pair in hashes}, set(hashes)
        found = []
        for number, turn in sorted(self._entry(session).turns.items(), reverse=True):
            pair = turn.users_hash, turn.path_hash
            if turn.users_hash in users or pair in both:
                users.discard(turn.users_hash)
                both.discard(pair)
                found.append(Candidate(number, *pair))
        return found

    async def find_conversations(self, conversation_hash: bytes) -> Sequence[Conversation]:
        found = [
            Conversation(entry.session, turn.number, turn.inputs_hash or b"")
            for entry in self._sessions.values()
            for turn in entry.turns.values()
            if turn.conversation_hash == conversation_hash
        ]
        return sorted(found, key=lambda one: (one.session.key, one.turn), reverse=True)[:_CONVERSATIONS]

    async def find_request(self, session: SessionRecord, request_hash: bytes) -> TurnRecord | None:
        last = sorted(self._entry(session).turns.items(), reverse=True)[:_LAST_TURNS]
        return next((turn for _, turn in last if turn.request_hash == request_hash and not turn.adopted), None)

    async def set_undelivered(self, session: SessionRecord, number: int, undelivered: bool) -> None:
        entry = self._entry(session)
        if undelivered and number in entry.turns:
            entry.undelivered.add(number)
        else:
            entry.undelivered.discard(number)

    async def is_undelivered(self, session: SessionRecord, number: int) -> bool:
        return number in self._entry(session).undelivered

    async def commit_turn(self, commit: TurnCommit) -> None:
        if any(turn.attempt_id in self._attempts for turn in commit.turns):
            raise DuplicateAttempt
        session = commit.session
        if commit.user_must_exist and (session.namespace, session.user_id) not in self._users:
            raise MissingSession
        if commit.expected_version is None:
            self._open(session, commit.new_user)
        else:
            self._at(session, commit.expected_version).session = session
            if commit.new_user is not None:
                self._add_user(commit.new_user)
        entry = self._add_turns(session, commit.turns)
        if commit.snapshot is not None:
            entry.snapshots[commit.snapshot.turn] = commit.snapshot

    async def find_attempt(self, attempt_id: str) -> tuple[SessionRecord, TurnRecord] | None:
        if attempt_id not in self._attempts:
            return None
        place, number = self._attempts[attempt_id]
        entry = self._sessions[place]
        return entry.session, entry.turns[number]

    async def find_idempotent(
        self, namespace: str, session_id: str, idempotency_key: str
    ) -> tuple[SessionRecord, TurnRecord] | None:
        since = self._ago(_IDEMPOTENT_SECONDS)
        found = [
            (entry.session, turn)
            for (space, name), entry in self._sessions.items()
            if space == namespace and session_id in ("", name)
            for turn in entry.turns.values()
            if idempotency_key and turn.idempotency_key == idempotency_key and turn.created_at >= since
        ]
        return max(found, key=lambda pair: pair[1].created_at, default=None)

    async def load_memories(self, session: SessionRecord, most: int) -> Sequence[Remembered]:
        whose = session.namespace, session.user_id, session.agent
        theirs = sorted(
            (
                entry
                for entry in self._sessions.values()
                if (other := entry.session).key != session.key
                and (other.namespace, other.user_id, other.agent) == whose
            ),
            key=lambda entry: -entry.session.key,
        )
        return [
            Remembered(entry.session.key, entry.session.session_id, turn.memory_json, turn.created_at)
            for entry in theirs[:most]
            if (turn := entry.turns.get(entry.session.head)) is not None and turn.memory_json
        ]

    async def record_failure(self, failed: FailedTurn) -> None:
        self._failures.append(failed)

    # Sessions

    async def create_session(
        self, session: SessionRecord, new_user: UserRecord | None, turns: Sequence[TurnRecord] = ()
    ) -> None:
        await self.commit_turn(
            TurnCommit(session=session, expected_version=None, turns=tuple(turns), new_user=new_user)
        )

    async def close_session(self, session: SessionRecord) -> None:
        entry = self._at(session, session.version - 1)
        entry.session = msgspec.structs.replace(
            entry.session, closed_at=session.closed_at, version=session.version, updated_at=session.updated_at
        )

    async def find_chat(self, namespace: str, chat_id: str) -> SessionRecord | None:
        place = self._chats.get((namespace, chat_id))
        return None if place is None else self._sessions[place].session

    async def list_sessions(self, namespace: str, user_id: str, page_size: int, page_token: str) -> Page[SessionRecord]:
        mine = {
            entry.session.key: entry.session
            for (space, _), entry in self._sessions.items()
            if space == namespace and user_id in ("", entry.session.user_id)
        }
        return _page(mine, page_size, page_token, newest_first=True)

    async def delete_session(self, namespace: str, session_id: str) -> bool:
        entry = self._sessions.pop((namespace, session_id), None)
        if entry is not None:
            del self._chats[namespace, entry.session.chat_id]
            self._keys.discard(entry.session.key)
            for turn in entry.turns.values():
                del self._attempts[turn.attempt_id]
        self._failures = [f for f in self._failures if (f.namespace, f.session_id) != (namespace, session_id)]
        return entry is not None

    async def list_turns(self, session: SessionRecord, page_size: int, page_token: str) -> Page[TurnRecord]:
        return _page(self._entry(session).turns, page_size, page_token)

    async def load_turn(self, session: SessionRecord, number: int) -> TurnRecord | None:
        return self._entry(session).turns.get(number)

    async def path_numbers(self, session: SessionRecord) -> frozenset[int]:
        return frozenset(turn.number for turn in self._entry(session).path(session.head))

    async def list_failures(self, namespace: str, session_id: str) -> Sequence[FailedTurn]:
        mine = [f for f in self._failures if (f.namespace, f.session_id) == (namespace, session_id)]
        return mine[-_MAX_FAILURES:]

    async def prune(self, idle_seconds: float) -> int:
        since = self._ago(idle_seconds)
        idle = [place for place, entry in self._sessions.items() if entry.session.updated_at < since]
        for place in idle:
            await self.delete_session(*place)
        self._failures = [failed for failed in self._failures if failed.failed_at >= since]
        starts = [
            start
            for entry in self._sessions.values()
            for start in (entry.session.start, *(turn.start for turn in entry.turns.values()))
            if start is not None
        ]
        used = {sha for start in starts for sha in (start.seed_sha, start.scenario_sha)}
        put_since = self._clock() - max(idle_seconds, _SEED_GRACE_SECONDS)
        self._seeds = {sha: seed for sha, seed in self._seeds.items() if sha in used or seed[1] >= put_since}
        return len(idle)

    # Starting worlds

    async def put_seed(self, sha: str, body: str) -> None:
        self._seeds[sha] = body, self._clock()

    async def load_seed(self, sha: str) -> str | None:
        return self._seeds[sha][0] if sha in self._seeds else None

    # Users

    async def put_user(self, user: UserRecord) -> UserRecord:
        first = self._add_user(user)
        stored = msgspec.structs.replace(user, created_at=first.created_at)
        self._users[user.namespace, user.user_id] = stored
        return stored

    async def load_user(self, namespace: str, user_id: str) -> UserRecord | None:
        return self._users.get((namespace, user_id))

    async def list_users(self, namespace: str, page_size: int, page_token: str) -> Page[UserRecord]:
        mine = {self._user_places[name]: user for name, user in self._users.items() if user.namespace == namespace}
        return _page(mine, page_size, page_token, newest_first=True)

    async def delete_user(self, namespace: str, user_id: str) -> Sequence[str] | None:
        if self._users.pop((namespace, user_id), None) is None:
            return None
        mine = [
            session.session_id
            for session in sorted((entry.session for entry in self._sessions.values()), key=lambda s: s.key)
            if (session.namespace, session.user_id) == (namespace, user_id)
        ]
        for session_id in mine:
            await self.delete_session(namespace, session_id)
        self._failures = [f for f in self._failures if (f.namespace, f.user_id) != (namespace, user_id)]
        return mine

    def _ago(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self._clock() - seconds, UTC)

    def _entry(self, session: SessionRecord) -> _Entry:
        """An empty one for a session that is gone."""
        entry = self._sessions.get((session.namespace, session.session_id))
        return entry if entry is not None and entry.session.key == session.key else _Entry(session)

    def _open(self, session: SessionRecord, new_user: UserRecord | None) -> None:
        place = session.namespace, session.session_id
        chat = session.namespace, session.chat_id
        if place in self._sessions or chat in self._chats or session.key in self._keys:
            raise StaleSession
        self._sessions[place] = _Entry(session)
        self._chats[chat] = place
        self._keys.add(session.key)
        if new_user is not None:
            self._add_user(new_user)

    def _add_turns(self, session: SessionRecord, turns: Sequence[TurnRecord]) -> _Entry:
        place = session.namespace, session.session_id
        entry = self._sessions[place]
        for turn in turns:
            entry.turns[turn.number] = turn
            self._attempts[turn.attempt_id] = place, turn.number
        return entry

    def _add_user(self, user: UserRecord) -> UserRecord:
        """The one there is, or this one."""
        name = user.namespace, user.user_id
        if name not in self._users:
            self._users[name] = user
            self._user_places[name] = next(self._places)
        return self._users[name]

    def _at(self, session: SessionRecord, version: int) -> _Entry:
        """The session's entry, at this version."""
        entry = self._sessions.get((session.namespace, session.session_id))
        if entry is None or entry.session.key != session.key:
            raise MissingSession
        if entry.session.version != version:
            raise StaleSession
        return entry


def _page(items: Mapping[int, T], page_size: int, page_token: str, *, newest_first: bool = False) -> Page[T]:
    """`items` by what orders them; a token is the place of the last one."""
    places = sorted(items, reverse=newest_first)
    if page_token:
        if not page_token.isascii() or not page_token.isdigit():
            raise InvalidRequest("page_token is not one that this server gave out", field="page_token")
        last = int(page_token)
        places = [place for place in places if (place < last if newest_first else place > last)]
    page = places[:page_size]
    return Page(tuple(items[place] for place in page), str(page[-1]) if len(places) > page_size else "")
