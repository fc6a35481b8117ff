"""Sessions read back and looked after (SESSION-01..03)."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from greenroom.core.branch import Branch, turn_bytes
from greenroom.core.errors import InvalidRequest, SessionBusy, SessionNotFound, TurnNotFound, UserNotFound
from greenroom.core.evidence import seen_messages
from greenroom.core.overlay import Base, Overlay, Seed, canonical
from greenroom.core.parts import Parts
from greenroom.core.plain import GONE, same, to_json
from greenroom.core.ports import MissingSession, StaleSession
from greenroom.core.records import (
    Change,
    FailedTurn,
    Message,
    Page,
    SessionRecord,
    ToolCallRecord,
    TurnRecord,
)
from greenroom.core.request import Principal, check_id

Place = tuple[str, str | None]

_PAGE_BYTES = 2 * 1024 * 1024
_FAILURES_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class TurnPage:
    """A page of turns with what is needed to read it."""

    session: SessionRecord
    turns: Sequence[TurnRecord]
    current: frozenset[int]
    """The numbers on the path to the head; all others are superseded."""
    failed: Sequence[FailedTurn]
    next_token: str
    seen: Sequence[Message] = ()
    """Of a single turn: the conversation that its agent saw."""


@dataclass(frozen=True, slots=True)
class WorldView:
    """A world after a turn, as canonical JSON, and how it came about."""

    turn: int
    world_json: str
    sha256: str
    changes: Sequence[Change]


class Sessions:
    """What can be done with sessions beside running their turns."""

    def __init__(self, parts: Parts) -> None:
        self._agents = parts.agents
        self._store = parts.store
        self._users = parts.users
        self._cache = parts.cache
        self._tickets = parts.tickets
        self._limits = parts.limits

    async def get(self, principal: Principal, session_id: str) -> SessionRecord:
        """Raises `SessionNotFound`."""
        session = await self._store.load_session(principal.namespace, check_id(session_id, "session_id"))
        if session is None:
            raise SessionNotFound(f"there is no session {session_id}", field="session_id")
        return session

    async def get_chat(self, principal: Principal, chat_id: str) -> SessionRecord:
        """The session with this chat id. Raises `SessionNotFound`."""
        session = await self._store.find_chat(principal.namespace, check_id(chat_id, "chat_id"))
        if session is None:
            raise SessionNotFound(f"there is no chat {chat_id}", field="chat_id")
        return session

    async def list(self, principal: Principal, user_id: str, page_size: int, page_token: str) -> Page[SessionRecord]:
        return await self._store.list_sessions(
            principal.namespace, check_id(user_id, "user_id"), checked_page_size(page_size), page_token
        )

    async def turns(self, principal: Principal, session_id: str, page_size: int, page_token: str) -> TurnPage:
        session = await self.get(principal, session_id)
        page = await self._store.list_turns(session, checked_page_size(page_size), page_token)
        fitting = how_many_fit(page.items)
        if fitting < len(page.items):
            page = await self._store.list_turns(session, fitting, page_token)
        failed = () if page_token else await self._store.list_failures(session.namespace, session.session_id)
        return TurnPage(session, page.items, await self._store.path_numbers(session), newest(failed), page.next_token)

    async def turn(self, principal: Principal, session_id: str, number: int) -> TurnPage:
        """One turn, as a page of one. Raises `TurnNotFound`."""
        session = await self.get(principal, session_id)
        turn = await self._store.load_turn(session, number)
        if turn is None:
            raise TurnNotFound(f"session {session_id} has no turn {number}", field="number")
        current = await self._store.path_numbers(session)
        return TurnPage(session, (turn,), current, (), "", await seen_messages(self._store, session, turn))

    async def tool_calls(
        self, principal: Principal, session_id: str, page_size: int, page_token: str
    ) -> Page[tuple[int, bool, ToolCallRecord]]:
        """The calls of a session with their turn's number and whether it is superseded; a page ends with a turn."""
        page = await self.turns(principal, session_id, page_size, page_token)
        calls = [
            (turn.number, turn.number not in page.current, call) for turn in page.turns for call in turn.tool_calls
        ]
        return Page(tuple(calls), page.next_token)

    async def world(
        self, principal: Principal, session_id: str, number: int | None, from_turn: int | None
    ) -> WorldView:
        """The world after turn `number` (None: the newest; 0: the start), and what changed since `from_turn` (None: the
        start). Raises `TurnNotFound`."""
        session = await self.get(principal, session_id)
        turn = session.head if number is None else number
        seed, after = await self._world_after(session, turn)
        text = canonical(Base(seed, after).as_data())
        sha = hashlib.sha256(text.encode()).hexdigest()
        older, before = await self._world_after(session, from_turn) if from_turn else (seed, Overlay())
        if older.sha == seed.sha:
            return WorldView(turn, text, sha, between(seed, before, after))
        whole = differing(Base(older, before).as_data(), Base(seed, after).as_data())
        return WorldView(turn, text, sha, whole)

    async def _world_after(self, session: SessionRecord, number: int) -> tuple[Seed, Overlay]:
        """The world after a turn; after 0 it is the one that the current path starts from."""
        if not 0 <= number <= session.turn_count:
            raise TurnNotFound(f"session {session.session_id} has no turn {number}", field="turn")
        branch = await Branch.load(self._store, session, number)
        served = self._agents.of(session.agent)
        scenario = await served.scenario_of(branch.start or session.start, self._store)
        return scenario.seed, branch.overlay

    async def close(self, principal: Principal, session_id: str) -> SessionRecord:
        """Closes it: it takes no more turns. Raises `SessionNotFound`."""
        for _ in range(3):
            session = await self.get(principal, session_id)
            if session.closed_at is not None:
                return session
            closed = msgspec.structs.replace(session, version=session.version + 1, closed_at=datetime.now(UTC))
            try:
                await self._store.close_session(closed)
            except (StaleSession, MissingSession):
                continue
            self._cache.drop((session.namespace, session_id))
            return closed
        raise SessionBusy("other writers keep changing this session")

    async def delete(self, principal: Principal, session_id: str) -> None:
        """Deletes it whole; a turn in flight there ends with `SessionDeleted`. Raises `SessionNotFound`."""
        name = (principal.namespace, check_id(session_id, "session_id"))
        in_flight = await self._tickets.end_session(name)
        self._cache.drop(name)
        if not await self._store.delete_session(*name) and not in_flight:
            raise SessionNotFound(f"there is no session {session_id}", field="session_id")

    async def prune(self, idle_seconds: float) -> int:
        """Drops the sessions that have been idle for longer, and says how many (SEC-08)."""
        gone = await self._store.prune(idle_seconds)
        if gone:
            self._cache.clear()  # a session that comes again starts anew
        return gone

    async def delete_user(self, principal: Principal, user_id: str) -> None:
        """Deletes a user with all sessions. Raises `UserNotFound`."""
        namespace = principal.namespace
        check_id(user_id, "user_id")
        in_flight = await self._tickets.end_user(namespace, user_id)
        gone = await self._store.delete_user(namespace, user_id)
        self._users.forget(namespace, user_id)
        for session_id in gone or ():
            name = (namespace, session_id)
            self._cache.drop(name)
            if await self._tickets.end_session(name):  # it was about to find out whose session it is
                await self._store.delete_session(*name)
        if gone is None and not in_flight:
            raise UserNotFound(f"there is no user {user_id}", field="user_id")


def how_many_fit(turns: Sequence[TurnRecord]) -> int:
    """How many of the turns one message may carry: at least one, and no more than what gRPC's callers take by default."""
    total = 0
    for count, turn in enumerate(turns):
        total += turn_bytes(turn)
        if total > _PAGE_BYTES and count:
            return count
    return len(turns)


def newest(failures: Sequence[FailedTurn]) -> Sequence[FailedTurn]:
    """The newest failed attempts that fit beside a page of turns, oldest first. One that is too large by itself is there
    without its tool calls."""
    fitting: list[FailedTurn] = []
    room = _FAILURES_BYTES
    for failed in reversed(failures):
        size = sum([len(message.content or "") for message in failed.messages])
        evidence = sum([len(call.arguments_json) + len(call.result_json) for call in failed.tool_calls])
        if evidence > _FAILURES_BYTES:
            failed, evidence = msgspec.structs.replace(failed, tool_calls=()), 0
        room -= size + evidence
        if room < 0 and fitting:
            break
        fitting.append(failed)
    return fitting[::-1]


def checked_page_size(size: int) -> int:
    """1 to 500; 0 means 100. Raises `InvalidRequest`."""
    if not 0 <= size <= 500:
        raise InvalidRequest("page_size: 1 to 500", field="page_size")
    return size or 100


def between(seed: Seed, before: Overlay, after: Overlay) -> tuple[Change, ...]:
    """The records that differ between two worlds of one seed, in order of collection and key."""
    old, new = Base(seed, before), Base(seed, after)
    places: dict[Place, None] = {}
    for overlay in (after, before):
        for collection, records in overlay.records.items():
            places.update(dict.fromkeys((collection, key) for key in records))
    return _changes((place, old.get(*place), new.get(*place)) for place in places)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """The same for two worlds that have no seed in common."""
    old, new = dict(_records(before)), dict(_records(after))
    return _changes((place, old.get(place, GONE), new.get(place, GONE)) for place in {**old, **new})


def _records(world: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    for collection, records in world.items():
        is_records = isinstance(records, Mapping)
        yield (collection, None), ({} if is_records else records)
        for key, value in records.items() if is_records else ():
            yield (collection, key), value


def _changes(found: Iterable[tuple[Place, Any, Any]]) -> tuple[Change, ...]:
    changes = []
    for (collection, key), a, b in sorted(found, key=lambda entry: (entry[0][0], entry[0][1] or "")):
        if a is b or (a is not GONE and b is not GONE and same(a, b)):
            continue
        changes.append(Change(collection, key, _text(a), _text(b)))
    return tuple(changes)


def _text(value: Any) -> str | None:
    return None if value is GONE else to_json(value)
