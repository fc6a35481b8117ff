"""After which turn does a request stand? (CHAT-12, CHAT-13) Pure decisions; nothing else makes them.

A request carries history when an assistant message stands before its last user message. What it carries is cut into
exchanges (the user's messages, then the replies), and a path is known by the rolling hash of its user texts, white space
folded; a second hash takes the replies in, to tell branches apart.
"""

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

    @property
    def key(self) -> str:
        return user_key(self.messages, self.reply)


class Carried(msgspec.Struct, frozen=True, gc=False):
    """A request's messages, told apart."""

    context: tuple[str, ...]
    past: tuple[Exchange, ...]
    input: tuple[Message, ...]
    has_history: bool


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
    replies: list[str] = []
    answered = False
    for message in messages:
        if message.role in ("system", "developer"):
            context.append(message.content or "")
        elif message.role == "user":
            if answered:
                past.append(Exchange(tuple(users), "\n".join(replies)))
                users, replies, answered = [], [], False
            users.append(message)
        elif message.role == "assistant":
            answered = True  # with tool calls alone, too
            if message.content is not None or not message.tool_calls_json:
                replies.append(message.content or "")
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


def prefix_hashes(past: Sequence[Exchange]) -> list[tuple[bytes, bytes]]:
    """Both hashes after each carried exchange."""
    users, path, hashes = START, START, []
    for exchange in past:
        users, path = hashes_after(users, path, exchange.key, exchange.reply)
        hashes.append((users, path))
    return hashes


def place_without_candidates(carried: Carried, standing: Standing) -> Placement | None:
    """The placement where the session's current path decides it alone; None: ask for candidates, then `place`."""
    if not carried.has_history:
        if not standing.transcript_mode:
            return Placement(standing.head, History.NEXT if standing.turn_count else History.NEW)
        return Placement(0, History.STARTED_OVER)
    if not standing.turn_count:
        return Placement(0, History.ADOPTED, carried.past)
    users, path = prefix_hashes(carried.past)[-1]
    if users == standing.head_users_hash and path == standing.head_path_hash:
        return Placement(standing.head, History.CONTINUED)
    return None


def place(carried: Carried, standing: Standing, candidates: Sequence[Candidate]) -> Placement:
    """Whole path from a start; else a run that ends at the newest turn; else as far as it goes from a start."""
    hashes = prefix_hashes(carried.past)
    on_path = {turn.number for turn in standing.path}
    whole = _best(candidates, hashes[-1], on_path)
    if whole is not None:
        return Placement(whole, History.CONTINUED if whole == standing.head else History.WENT_BACK)
    if _ends_like(standing.path, carried.past):
        return Placement(standing.head, History.CONTINUED)
    for length in range(len(hashes) - 1, 0, -1):
        known = _best(candidates, hashes[length - 1], on_path)
        if known is not None:
            return Placement(known, History.ADOPTED, carried.past[length:])
    return Placement(0, History.ADOPTED, carried.past)


def _best(candidates: Sequence[Candidate], hashes: tuple[bytes, bytes], on_path: set[int]) -> int | None:
    """The branch whose replies match, then the current branch, then the newest."""
    users, path = hashes
    matching = [candidate for candidate in candidates if candidate.users_hash == users]
    if not matching:
        return None
    return max(matching, key=lambda c: (c.path_hash == path, c.number in on_path, c.number)).number


def _ends_like(path: Sequence[TurnRecord], past: Sequence[Exchange]) -> bool:
    if len(past) > len(path):
        return False
    own = path[len(path) - len(past) :]
    return all(_is_like(turn, said) for turn, said in zip(own, past, strict=True))


def _is_like(turn: TurnRecord, said: Exchange) -> bool:
    if not said.messages:  # a window may begin with a reply whose question was cut off
        return folded(turn.reply) == folded(said.reply)
    return user_key(turn.messages, turn.reply) == said.key
