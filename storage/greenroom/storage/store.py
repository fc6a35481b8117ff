"""The `Store` port on SQLAlchemy: what is asked of it becomes work for the writer's thread or the readers'."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from greenroom.core.errors import StoreUnavailable
from greenroom.core.records import (
    Candidate,
    Conversation,
    FailedTurn,
    Page,
    Path,
    Remembered,
    SessionRecord,
    TurnCommit,
    TurnRecord,
    UserRecord,
)
from greenroom.storage import health, memories, placing, retention, seeds, sessions, turns, users
from greenroom.storage.commits import Prepared
from greenroom.storage.database import Database
from greenroom.storage.faults import DatabaseRefused
from greenroom.storage.health import Health, Pulse
from greenroom.storage.paging import decode_token
from greenroom.storage.readers import Readers
from greenroom.storage.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

_MICROSECONDS = 1_000_000
_IDEMPOTENT_SECONDS = 24 * 3600
# A starting world is put before there is a session that has it: one that was put within the longer time is no orphan,
# after the shorter one it is put again.
_SEED_GRACE_SECONDS = 24 * 3600
_SEED_FRESH_SECONDS = 3600


class SqlStore:
    """See `greenroom.core.ports.Store`. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, *, read_only: bool, readers: int, clock: Callable[[], float]) -> None:
        self.exclusive = database.exclusive
        self._database = database
        self._read_only = read_only
        self._clock = clock
        self._pulse = Pulse()
        self._writer = Writer(database, self._pulse)
        self._readers = Readers(database, self._pulse, readers)
        self._queries = turns.HotQueries(database.mark)
        self._candidates = placing.CandidateQuery(database.mark)
        self._health: tuple[float, int, Health] | None = None
        self._examination: asyncio.Task[Health] | None = None
        self._seeds: dict[str, tuple[str, float]] = {}

    async def start(self) -> None:
        try:
            self._database.acquire()
        except DatabaseRefused as refused:
            raise StoreUnavailable(str(refused)) from None
        self._readers.start()
        if not self._read_only:
            self._writer.start()
        try:
            await (self._readers.submit(_nothing) if self._read_only else self._writer.submit(_nothing))
        except StoreUnavailable as error:
            await self.close()
            raise StoreUnavailable(f"{self._database.name} cannot be opened: {self._pulse.last_failure()}") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        self._database.release()

    async def health(self) -> Health:
        if self._health is not None and self._pulse.changes == self._health[1]:
            known_at, _, known = self._health
            if known.status == "healthy" and time.monotonic() - known_at < health.FRESH_SECONDS:
                return known
        if self._examination is None or self._examination.done():
            self._examination = asyncio.create_task(self._examine())
        # Shared by all who ask meanwhile, so that none of them may end it.
        found = await asyncio.shield(self._examination)
        self._health = time.monotonic(), self._pulse.changes, found
        return found

    async def _examine(self) -> Health:
        try:
            readable = await health.examine(self._readers.submit(self._database.inspect), self._pulse)
            if readable.status != "healthy" or self._read_only or self._pulse.is_beating():
                return readable
            return await health.examine(self._writer.submit(health.probe), self._pulse)
        except StoreUnavailable as closed:
            return Health("unhealthy", closed.message)

    # Turns

    async def load_session(self, namespace: str, session_id: str) -> SessionRecord | None:
        return await self._read(self._queries.load_session, namespace, session_id)

    async def load_path(self, session: SessionRecord, number: int, *, whole: bool = False) -> Path:
        if number == 0:
            return Path(())
        load = self._queries.load_whole_path if whole else self._queries.load_path
        return await self._read(load, session.key, number)

    async def find_candidates(
        self, session: SessionRecord, hashes: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[Candidate]:
        return await self._read(self._candidates.run, session.key, hashes) if hashes else ()

    async def find_conversations(self, conversation_hash: bytes) -> Sequence[Conversation]:
        return await self._read(placing.find_conversations, conversation_hash)

    async def find_request(self, session: SessionRecord, request_hash: bytes) -> TurnRecord | None:
        return await self._read(placing.find_request, session.key, request_hash)

    async def set_undelivered(self, session: SessionRecord, number: int, undelivered: bool) -> None:
        await self._write(turns.set_undelivered, session.key, number, undelivered)

    async def is_undelivered(self, session: SessionRecord, number: int) -> bool:
        return await self._read(turns.is_undelivered, session.key, number)

    async def commit_turn(self, commit: TurnCommit) -> None:
        prepared = Prepared(commit)
        if prepared.starts:
            await self._keep_seeds(commit.session)
        await self._writer.submit(prepared)

    async def find_attempt(self, attempt_id: str) -> tuple[SessionRecord, TurnRecord] | None:
        return await self._read(turns.find_attempt, attempt_id)

    async def find_idempotent(
        self, namespace: str, session_id: str, idempotency_key: str
    ) -> tuple[SessionRecord, TurnRecord] | None:
        if not idempotency_key:
            return None
        since = self._ago(_IDEMPOTENT_SECONDS)
        return await self._read(turns.find_idempotent, namespace, session_id, idempotency_key, since)

    async def load_memories(self, session: SessionRecord, most: int) -> Sequence[Remembered]:
        return await self._read(memories.load_memories, session, most)

    async def record_failure(self, failed: FailedTurn) -> None:
        await self._write(sessions.record_failure, failed)

    # Sessions

    async def create_session(
        self, session: SessionRecord, new_user: UserRecord | None, turns: Sequence[TurnRecord] = ()
    ) -> None:
        await self.commit_turn(
            TurnCommit(session=session, expected_version=None, turns=tuple(turns), new_user=new_user)
        )

    async def close_session(self, session: SessionRecord) -> None:
        await self._write(sessions.close_session, session)

    async def find_chat(self, namespace: str, chat_id: str) -> SessionRecord | None:
        return await self._read(sessions.find_chat, namespace, chat_id)

    async def list_sessions(self, namespace: str, user_id: str, page_size: int, page_token: str) -> Page[SessionRecord]:
        return await self._read(sessions.list_sessions, namespace, user_id, page_size, decode_token(page_token))

    async def delete_session(self, namespace: str, session_id: str) -> bool:
        return await self._write(sessions.delete_session, namespace, session_id)

    async def list_turns(self, session: SessionRecord, page_size: int, page_token: str) -> Page[TurnRecord]:
        return await self._read(turns.list_turns, session.key, page_size, decode_token(page_token))

    async def load_turn(self, session: SessionRecord, number: int) -> TurnRecord | None:
        return await self._read(turns.load_turn, session.key, number)

    async def path_numbers(self, session: SessionRecord) -> frozenset[int]:
        return await self._read(turns.path_numbers, session.key, session.head)

    async def list_failures(self, namespace: str, session_id: str) -> Sequence[FailedTurn]:
        return await self._read(sessions.list_failures, namespace, session_id)

    async def prune(self, idle_seconds: float) -> int:
        idle_since = self._ago(idle_seconds)
        total = 0
        while dropped := await self._write(retention.drop_sessions, idle_since):
            total += dropped
        while await self._write(retention.drop_failures, idle_since):
            pass
        put_before = self._ago(max(idle_seconds, _SEED_GRACE_SECONDS))
        if orphans := await self._read(retention.find_orphans, put_before):
            await self._write(retention.drop_orphans, orphans, put_before)
        return total

    # Starting worlds

    async def put_seed(self, sha: str, body: str) -> None:
        now = self._clock()
        await self._write(seeds.put_seed, sha, body, int(now * _MICROSECONDS))
        self._seeds[sha] = body, now

    async def load_seed(self, sha: str) -> str | None:
        return await self._read(seeds.load_seed, sha)

    async def _keep_seeds(self, session: SessionRecord) -> None:
        """Puts again what a session is about to start from, when it was put long ago: it may be an orphan by now."""
        for sha in (session.start.seed_sha, session.start.scenario_sha):
            seed = self._seeds.get(sha)
            if seed is not None and self._clock() - seed[1] > _SEED_FRESH_SECONDS:
                await self.put_seed(sha, seed[0])

    # Users

    async def put_user(self, user: UserRecord) -> UserRecord:
        return await self._write(users.put_user, user)

    async def load_user(self, namespace: str, user_id: str) -> UserRecord | None:
        return await self._read(users.load_user, namespace, user_id)

    async def list_users(self, namespace: str, page_size: int, page_token: str) -> Page[UserRecord]:
        return await self._read(users.list_users, namespace, page_size, decode_token(page_token))

    async def delete_user(self, namespace: str, user_id: str) -> Sequence[str] | None:
        return await self._write(users.delete_user, namespace, user_id)

    def _ago(self, seconds: float) -> int:
        return int((self._clock() - seconds) * _MICROSECONDS)

    async def _read(self, query: Callable[Concatenate[sa.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._readers.submit(lambda connection: query(connection, *args, **kwargs))

    async def _write(
        self, change: Callable[Concatenate[sa.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._writer.submit(lambda connection: change(connection, *args, **kwargs))


def _nothing(connection: sa.Connection) -> None:
    """Opening the connection is all that is wanted."""
