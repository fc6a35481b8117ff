"""What is stored, as plain immutable records. Free JSON is text, exactly as it came or as it was made once.

They hold no cycles, so the garbage collector need not look at them (`gc=False`): thousands of them are kept.
"""

import enum
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One message of a conversation. `content` is None only on an assistant message that carries tool calls."""

    role: str
    content: str | None
    name: str = ""
    tool_calls_json: str = ""
    tool_call_id: str = ""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One record of the world, before and after, as JSON text. None: it did not exist (before), it was deleted (after).

    `key` is None where the collection is itself one plain value.
    """

    collection: str
    key: str | None
    before: str | None
    after: str | None


class ToolCallRecord(msgspec.Struct, frozen=True, gc=False):
    """One execution of a tool. Times in microseconds; `started_us` counts from the turn's start."""

    id: str
    name: str
    arguments_json: str
    result_json: str
    ok: bool
    started_us: int
    duration_us: int
    changes: tuple[Change, ...] = ()
    scripted_by: str = ""
    """The rule of the scenario that decided it; "" for a real call."""


class History(enum.IntEnum):
    """Where a turn was placed (CHAT-13); the numbers are those of `greenroom.v1.History`."""

    NEW = 1
    NEXT = 2
    CONTINUED = 3
    WENT_BACK = 4
    STARTED_OVER = 5
    ADOPTED = 6


class ScenarioRef(msgspec.Struct, frozen=True, gc=False):
    """The scenario a start runs in. `requested` is "" when none was asked for."""

    id: str
    requested: str = ""
    found: bool = False


class Start(msgspec.Struct, frozen=True, gc=False):
    """From where a path of turns began: it holds for all turns of that path (USER-06)."""

    scenario: ScenarioRef
    scenario_sha: str
    """Content hash of the resolved scenario: see `Store.put_seed`."""
    seed_sha: str
    """Content hash of the starting world: see `Store.put_seed`."""


class UserRecord(msgspec.Struct, frozen=True, gc=False):
    """A simulated user."""

    namespace: str
    user_id: str
    created_at: datetime
    metadata_json: str = "{}"
    profile_json: str = "{}"


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A committed turn. `number` counts from 1 in commit order; `parent` is 0 at a start."""

    number: int
    parent: int
    adopted: bool = False
    attempt_id: str
    """Unique over all turns."""
    idempotency_key: str = ""
    """With its API key's name before it: two keys' callers may hit upon one."""
    request_hash: bytes = b""
    """Hash of what makes two requests the same: user and messages; with an idempotency key, all of the body."""
    retry_count: int = 0
    """How often its client had sent the request before."""
    users_hash: bytes
    """Rolling hash of the path's user texts, white space folded."""
    path_hash: bytes
    """Rolling hash of the path's user texts and replies."""
    conversation_hash: bytes | None = None
    """In a session that was opened without an id: `path_hash` with whose it is, to be found by (CHAT-14)."""
    inputs_hash: bytes | None = None
    """There, too: rolling hash of what came with the path's texts, which two conversations of the same words may differ in."""
    scenario: ScenarioRef
    start: Start | None = None
    """On a path's first turn."""
    completion_id: str = ""
    request_id: str = ""
    messages: tuple[Message, ...]
    """The user's messages of this turn, and system messages that came with them."""
    context_json: str = "[]"
    """The system and developer texts that hold after this turn, a JSON array of strings."""
    metadata_json: str = "{}"
    options_json: str = "{}"
    reply: str
    confidence: float | None = None
    evaluation_json: str = "{}"
    reply_metadata_json: str = "{}"
    """What the agent adds to its reply's metadata."""
    history: History
    placed: str = ""
    """Why it was placed where it stands: see `transcript.py`."""
    seen_json: str = "{}"
    """What the agent saw beside the path's messages and the context: {"instructions": […], "user": {"profile", "metadata"},
    "messages": […], "memory": {"facts", "sessions"}}, each where there is any; `messages` are the carried ones, where they
    differ from the path's, `memory` is what was known of the user: on a path's first turn, and where the agent asked for it."""
    scenario_applied: bool | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    state_json: str = "{}"
    """The agent's own state after this turn."""
    memory_json: str = ""
    """What the path has noted of its user up to and with this turn: see `notes.py`. "" where memory is off."""
    changes: tuple[Change, ...] = ()
    """The turn's exact effect on the world, in order; empty in a path's turns that its snapshot covers."""
    tool_calls: tuple[ToolCallRecord, ...] = ()
    created_at: datetime
    duration_us: int = 0
    """From the request's arrival in the core to the commit."""
    waited_us: int = 0
    """For the session and for a place to run."""
    ran_us: int = 0
    """How long the agent ran."""


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A session as it stands. `version` grows with every write; the compare-and-set is on it."""

    key: int
    """Our own number for the row: 63 bits, growing with time of creation."""
    namespace: str
    session_id: str
    chat_id: str
    user_id: str = ""
    agent: str
    version: int = 0
    head: int = 0
    """Number of the newest turn on the current path; 0 before the first."""
    turn_count: int = 0
    transcript_mode: bool = False
    minted: bool = False
    """Opened without an id of the client's."""
    opened_by: str = ""
    """Name of the API key that opened it."""
    metadata_json: str = "{}"
    start: Start
    """That of the current path; of a session without turns, the one to come."""
    forked_from: str = ""
    """The id of the session it was forked from; "" for one that was not."""
    forked_turn: int = 0
    changed_bytes: int = 0
    """World changes stored so far, in bytes of JSON (SEC-08)."""
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """A session's overlay after a turn: all records that differ from the seed, as JSON text (`world.py` reads it)."""

    turn: int
    overlay_json: str


class Path(msgspec.Struct, frozen=True, gc=False):
    """The turns from a start to one turn, oldest first, and the newest snapshot on that way (changes after it remain)."""

    turns: tuple[TurnRecord, ...]
    snapshot: Snapshot | None = None


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """The newest stored turn of these two path hashes."""

    number: int
    users_hash: bytes
    path_hash: bytes


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """A turn that a conversation without session id was found at."""

    session: SessionRecord
    turn: int
    inputs_hash: bytes


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """What a session has noted of its user, as its newest turn left it."""

    key: int
    """The session's own number."""
    session_id: str
    memory_json: str
    """See `TurnRecord.memory_json`."""
    at: datetime
    """When that turn was committed."""

    @property
    def order(self) -> tuple[datetime, int]:
        return self.at, self.key


class FailedTurn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that failed: evidence beside the session, not in it."""

    namespace: str
    session_id: str
    user_id: str
    attempt_id: str
    request_id: str
    reason: str
    """As the error's `reason`."""
    detail: str
    """The exception's type and text; for inspection only."""
    messages: tuple[Message, ...]
    tool_calls: tuple[ToolCallRecord, ...]
    failed_at: datetime
    duration_us: int


class TurnCommit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One atomic write: adopted turns and the turn itself, with the session as it will stand.

    `expected_version` None inserts the session; otherwise its row is updated where it still has that version. `new_user`
    is inserted where there is no such user yet.
    """

    session: SessionRecord
    expected_version: int | None
    turns: tuple[TurnRecord, ...]
    snapshot: Snapshot | None = None
    new_user: UserRecord | None = None
    user_must_exist: bool = False
    """The session is opened for a user that was there: without it, nothing is written (`MissingSession`)."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a listing; `next_token` is "" on the last."""

    items: tuple[T, ...]
    next_token: str = ""
