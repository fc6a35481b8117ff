"""What the core needs from outside. Storage implements it; the inside never learns how."""

from collections.abc import Sequence
from typing import Protocol

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


class StaleSession(Exception):
    """A commit's expected version is not the stored one, or a session to insert exists. Load again and decide anew."""


class MissingSession(Exception):
    """The session to write to is gone."""


class DuplicateAttempt(Exception):
    """A turn with this attempt id is stored already: nothing was written."""


class StoreHealth(Protocol):
    """What `/health` says of the store."""

    @property
    def status(self) -> str: ...  # "healthy", "degraded" or "unhealthy"

    @property
    def detail(self) -> str: ...  # for the log and for inspection; no secrets


class Store(Protocol):
    """Sessions, turns and users, durable. One instance per process; safe to use from one event loop.

    Every method raises `errors.StoreUnavailable` when the database cannot be reached, read or written; then nothing was
    written. Ids are compared exactly; all text survives as it is, U+0000 included. Page tokens are opaque; a malformed one
    raises `errors.InvalidRequest` naming `page_token`.
    """

    exclusive: bool
    """True when no other process can write to the same database."""

    async def start(self) -> None:
        """Connects, migrates and is ready. Raises `StoreUnavailable` when it cannot, naming the database without secrets."""
        ...

    async def close(self) -> None:
        """Writes out what is queued and closes. Idempotent."""
        ...

    async def health(self) -> StoreHealth:
        """Whether it can be read *and* written now; cached for a second or two."""
        ...

    # Turns

    async def load_session(self, namespace: str, session_id: str) -> SessionRecord | None:
        """The session as it stands."""
        ...

    async def load_path(self, session: SessionRecord, number: int, *, whole: bool = False) -> Path:
        """The path from its start to turn `number` (0: empty), tool calls included. `whole`: with the changes of all its
        turns, and no snapshot."""
        ...

    async def find_candidates(
        self, session: SessionRecord, hashes: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[Candidate]:
        """For each pair of path hashes: the newest turn that has both, and the newest that has the users' one. One indexed
        query, whatever the size of the tree."""
        ...

    async def find_conversations(self, conversation_hash: bytes) -> Sequence[Conversation]:
        """The turns that have this `conversation_hash`, with their sessions: at most the newest 100 sessions'."""
        ...

    async def find_request(self, session: SessionRecord, request_hash: bytes) -> TurnRecord | None:
        """The newest of the session's last 100 turns that has this `request_hash`, adopted ones excepted."""
        ...

    async def set_undelivered(self, session: SessionRecord, number: int, undelivered: bool) -> None:
        """Notes that the client of a turn has left without its reply, or that it has got it since."""
        ...

    async def is_undelivered(self, session: SessionRecord, number: int) -> bool: ...

    async def commit_turn(self, commit: TurnCommit) -> None:
        """Writes it all or nothing; returns when it is durable. Raises `StaleSession`, `MissingSession`, `DuplicateAttempt`.

        Cancelling the awaiting task does not withdraw it. An outcome that was in doubt (connection lost in COMMIT) has been
        read back by attempt id before this returns or raises.
        """
        ...

    async def find_attempt(self, attempt_id: str) -> tuple[SessionRecord, TurnRecord] | None:
        """The committed turn of this attempt."""
        ...

    async def find_idempotent(
        self, namespace: str, session_id: str, idempotency_key: str
    ) -> tuple[SessionRecord, TurnRecord] | None:
        """The turn stored under this key in the last 24 hours; `session_id` "" finds it in any session."""
        ...

    async def load_memories(self, session: SessionRecord, most: int) -> Sequence[Remembered]:
        """What other sessions of its user with the same agent have noted: of the newest `most` of them those that have
        noted anything."""
        ...

    async def record_failure(self, failed: FailedTurn) -> None:
        """Keeps evidence of a failed attempt."""
        ...

    # Sessions

    async def create_session(
        self, session: SessionRecord, new_user: UserRecord | None, turns: Sequence[TurnRecord] = ()
    ) -> None:
        """Inserts a session, with the turns of a fork. Raises `StaleSession` when it exists."""
        ...

    async def close_session(self, session: SessionRecord) -> None:
        """Stores `closed_at` and `version` where the stored version is one less. Raises `StaleSession`, `MissingSession`."""
        ...

    async def find_chat(self, namespace: str, chat_id: str) -> SessionRecord | None: ...

    async def list_sessions(self, namespace: str, user_id: str, page_size: int, page_token: str) -> Page[SessionRecord]:
        """Newest first; `user_id` "" lists all."""
        ...

    async def delete_session(self, namespace: str, session_id: str) -> bool:
        """Deletes it whole, failed attempts too. False when there is none."""
        ...

    async def list_turns(self, session: SessionRecord, page_size: int, page_token: str) -> Page[TurnRecord]:
        """In commit order, `changes` and tool calls included."""
        ...

    async def load_turn(self, session: SessionRecord, number: int) -> TurnRecord | None: ...

    async def path_numbers(self, session: SessionRecord) -> frozenset[int]:
        """The numbers of the turns on the path to the head; all others are superseded."""
        ...

    async def list_failures(self, namespace: str, session_id: str) -> Sequence[FailedTurn]:
        """Oldest first, at most the newest 100."""
        ...

    async def prune(self, idle_seconds: float) -> int:
        """Deletes sessions whose last write is longer ago than this, in small steps, and failed attempts and seeds that
        nothing needs any more. Returns how many sessions went."""
        ...

    # Starting worlds and resolved scenarios

    async def put_seed(self, sha: str, body: str) -> None:
        """Stores a starting world or a resolved scenario under its content hash, once."""
        ...

    async def load_seed(self, sha: str) -> str | None: ...

    # Users

    async def put_user(self, user: UserRecord) -> UserRecord:
        """Inserts it, or replaces metadata and profile of the one there is. Returns it as stored (first `created_at`)."""
        ...

    async def load_user(self, namespace: str, user_id: str) -> UserRecord | None: ...

    async def list_users(self, namespace: str, page_size: int, page_token: str) -> Page[UserRecord]:
        """Newest first."""
        ...

    async def delete_user(self, namespace: str, user_id: str) -> Sequence[str] | None:
        """Deletes the user with its sessions; returns the sessions' ids. None when there is no such user."""
        ...
