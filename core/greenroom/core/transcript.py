"""After which turn does a request stand? (CHAT-12..14) Pure decisions; nothing else makes them.

A request carries history when an assistant message stands before its last user message. What it carries is cut into
exchanges (the user's messages, then the replies), and a path is known by the rolling hash of its user texts, white space
folded; a second hash takes the replies in, to tell branches apart.
"""

import enum
import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from greenroom.core.errors import InvalidRequest
from greenroom.core.records import Candidate, History, Message, TurnRecord

START = b""
"""The hash of the empty path."""


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """What a user said, and what was answered. No user message: a greeting, known by its reply."""

    messages: tuple[Message, ...]
    reply: str
    answers: tuple[Message, ...] = ()
    """All that came between: the assistant's messages, with tool calls and their results where the client carries them."""

    @property
    def key(self) -> str:
        return user_key(self.messages, self.reply)


class Carried(msgspec.Struct, frozen=True, gc=False):
    """A request's messages, told apart."""

    context: tuple[str, ...]
    past: tuple[Exchange, ...]
    input: tuple[Message, ...]
    has_history: bool


class Placed(enum.StrEnum):
    """Why a turn stands where it stands; the rows of the table in docs/turns.md."""

    FIRST = "first"
    """The session's first request, without history."""
    NEXT = "next"
    """Without history, from a client that sends what is new."""
    STARTED_OVER = "started_over"
    """Without history, in transcript mode."""
    PATH = "path"
    """The carried history is a whole path from a start."""
    WINDOW = "window"
    """The carried history is the end of the current path: a trimmed window."""
    PREFIX = "prefix"
    """The carried history begins as a path does; the rest was never seen here."""
    UNKNOWN = "unknown"
    """Nothing of the carried history was ever seen here."""
    CONVERSATION = "conversation"
    """Without session id: the carried texts are those of a session that was opened without one (CHAT-14)."""
    FORK = "fork"
    """The same, but that session has gone on since: a new one was forked there."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where a session stands, as far as placing needs it."""

    head: int
    head_users_hash: bytes
    head_path_hash: bytes
    path: Sequence[TurnRecord]
    transcript_mode: bool
    turn_count: int


class Placement(msgspec.Struct, frozen=True, gc=False):
    """The turn runs after `parent` (0: from the start); `adopt` are carried exchanges that were never seen here."""

    parent: int
    history: History
    placed: Placed
    adopt: tuple[Exchange, ...] = ()


def folded(text: str) -> str:
    """White space folded: how user texts and replies are compared."""
    return " ".join(text.split())


def user_key(messages: Iterable[Message], reply: str) -> str:
    """What a turn is recognised by: its user texts, or for an opening greeting its own."""
    texts = [message.content or "" for message in messages if message.role == "user"]
    return "u" + folded(" ".join(texts)) if texts else "g" + folded(reply)


def rolled(before: bytes, *parts: str) -> bytes:
    """The hash of a path one turn longer."""
    return hashlib.blake2b("\x00".join(parts).encode(errors="replace"), key=before, digest_size=16).digest()


def hashes_after(users: bytes, path: bytes, key: str, reply: str) -> tuple[bytes, bytes]:
    """Both hashes of a path after one more turn."""
    return rolled(users, key), rolled(path, key, folded(reply))


def read_messages(messages: Sequence[Message]) -> Carried:
    """Cuts a request's messages up. Raises `InvalidRequest` when there is nothing to answer (CHAT-04)."""
    context: list[str] = []
    past: list[Exchange] = []
    users: list[Message] = []
    answers: list[Message] = []
    for message in messages:
        if message.role in ("system", "developer"):
            context.append(message.content or "")
        elif message.role == "user":
            if answers:
                past.append(Exchange(tuple(users), reply_of(answers), tuple(answers)))
                users, answers = [], []
            users.append(message)
        elif message.role == "assistant" or (message.role == "tool" and answers):
            answers.append(message)
        elif message.role != "tool":
            roles = "system, developer, user, assistant, tool"
            raise InvalidRequest(f"messages: role {message.role!r} is not one of {roles}", field="messages")
    if not messages:
        raise InvalidRequest("messages: at least one message is needed", field="messages")
    if messages[-1].role != "user" and len(context) != len(messages):
        raise InvalidRequest(
            f"messages: the last message is of role {messages[-1].role!r}; it must be the user's", field="messages"
        )
    return Carried(tuple(context), tuple(past), tuple(users), bool(past))


def spoken(messages: Iterable[Message]) -> list[Message]:
    """The messages that are not system texts."""
    return [message for message in messages if message.role not in ("system", "developer")]


def reply_of(answers: Iterable[Message]) -> str:
    """The text of a reply that came in these messages."""
    texts = [
        message.content or ""
        for message in said_once(answers)
        if message.content is not None or not message.tool_calls_json
    ]
    return "\n".join(texts)


def said_once(answers: Iterable[Message]) -> list[Message]:
    """The assistant's messages among these, without a text that a client was given again for its results of the reply's calls
    (CHAT-19)."""
    said: list[Message] = []
    after_tools = False
    for message in answers:
        if message.role != "assistant":
            after_tools = True
        elif not (after_tools and said and said[-1].tool_calls_json and message.content == said[-1].content):
            said.append(message)
            after_tools = False
    return said


def prefix_hashes(past: Sequence[Exchange]) -> list[tuple[bytes, bytes]]:
    """Both hashes after each carried exchange."""
    users, path, hashes = START, START, []
    for exchange in past:
        users, path = hashes_after(users, path, exchange.key, exchange.reply)
        hashes.append((users, path))
    return hashes


def conversation_hash(path_hash: bytes, namespace: str, key_name: str, user_id: str, agent_id: str) -> bytes:
    """What a conversation without session id is found by: its texts, whose it is, and with whom (CHAT-14)."""
    return rolled(path_hash, namespace, key_name, user_id, agent_id)


def place_without_candidates(carried: Carried, standing: Standing) -> Placement | None:
    """The placement where the session's current path decides it alone; None: ask for candidates, then `place`."""
    if not carried.has_history:
        if not standing.turn_count:
            return Placement(0, History.NEW, Placed.FIRST)
        if standing.transcript_mode:
            return Placement(0, History.STARTED_OVER, Placed.STARTED_OVER)
        return Placement(standing.head, History.NEXT, Placed.NEXT)
    if not standing.turn_count:
        return Placement(0, History.ADOPTED, Placed.UNKNOWN, carried.past)
    users, path = prefix_hashes(carried.past)[-1]
    if users == standing.head_users_hash and path == standing.head_path_hash:
        return Placement(standing.head, History.CONTINUED, Placed.PATH)
    return None


def place(carried: Carried, standing: Standing, candidates: Sequence[Candidate]) -> Placement:
    """Whole path from a start; else a run that ends at the newest turn; else as far as it goes from a start."""
    hashes = prefix_hashes(carried.past)
    known = _Known(standing.path, candidates)
    whole = known.best(*hashes[-1])
    if whole is not None:
        return Placement(whole, History.CONTINUED if whole == standing.head else History.WENT_BACK, Placed.PATH)
    if _ends_like(standing.path, carried.past):
        return Placement(standing.head, History.CONTINUED, Placed.WINDOW)
    for length in range(len(hashes) - 1, 0, -1):
        parent = known.best(*hashes[length - 1])
        if parent is not None:
            return Placement(parent, History.ADOPTED, Placed.PREFIX, carried.past[length:])
    return Placement(0, History.ADOPTED, Placed.UNKNOWN, carried.past)


class _Known:
    """The turns that a carried history may end at, by the hashes of their paths."""

    def __init__(self, path: Sequence[TurnRecord], candidates: Sequence[Candidate]) -> None:
        self._own = {turn.users_hash: turn for turn in path}
        self._newest: dict[bytes, int] = {}
        self._exact: dict[tuple[bytes, bytes], int] = {}
        for candidate in sorted(candidates, key=lambda candidate: candidate.number):
            self._newest[candidate.users_hash] = candidate.number
            self._exact[candidate.users_hash, candidate.path_hash] = candidate.number

    def best(self, users: bytes, path: bytes) -> int | None:
        """The branch whose replies match, then the current branch, then the newest."""
        own = self._own.get(users)
        if own is not None and own.path_hash == path:
            return own.number
        exact = self._exact.get((users, path))
        if exact is not None:
            return exact
        return own.number if own is not None else self._newest.get(users)


def _ends_like(path: Sequence[TurnRecord], past: Sequence[Exchange]) -> bool:
    if len(past) > len(path):
        return False
    own = path[len(path) - len(past) :]
    return all(_is_like(turn, said) for turn, said in zip(own, past, strict=True))


def _is_like(turn: TurnRecord, said: Exchange) -> bool:
    if not said.messages:  # a window may begin with a reply whose question was cut off
        return folded(turn.reply) == folded(said.reply)
    return user_key(turn.messages, turn.reply) == said.key
