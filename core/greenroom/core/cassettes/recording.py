"""What a cassette holds: what was asked, in which turn of which scenario, and what came of it."""

import hashlib
import json
from typing import Any, Final, Literal, NamedTuple

import msgspec

NOTHING = msgspec.Raw()
_SORTED: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
Kind = Literal["tool", "model", "tools"]
"""The last one: what tools a source has."""
Key = bytes


class Talk(NamedTuple):
    """Which conversation a turn ends."""

    agent: str
    scenario: str
    said: str
    """A hash of what its users had said up to then."""
    again: int = 0
    """How many turns of the session are not on the turn's path: users had gone back before them."""

    @property
    def first_time(self) -> "Talk":
        """The same where nobody went back."""
        return self._replace(again=0)


NO_TALK: Final = Talk("", "", "")


class Failure(msgspec.Struct, frozen=True, gc=False):
    """How a call failed (CHAT-10)."""

    type: str
    message: str


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One answer. JSON is kept as it is written."""

    agent: str
    scenario: str
    turn: int
    """The n-th along the session's path, from 1."""
    call: int = 1
    """The n-th of the turn that asks just this."""
    kind: Kind
    name: str
    request: msgspec.Raw
    response: msgspec.Raw = NOTHING
    """Empty for null, and where the call failed."""
    error: Failure | None = None
    changes: tuple[msgspec.Raw, ...] = ()
    """What the tool wrote to the world: collection, record (null: the collection is itself a value) and, unless it was
    deleted, the new value."""
    live: bool = False
    """There is no answer: it turned out that the call does more than a cassette can do in its place."""
    conversation: str = ""
    """A hash of what its users had said. Where two conversations were answered differently, each has its own answer again."""
    again: int = 0
    """See `Talk`."""
    session: str = ""
    """A hash of its id: what belongs together of sessions whose users said the same."""
    line: int = 0
    """Where it stands in its file, from 1; 0 while it is in none."""

    @property
    def talk(self) -> Talk:
        """The conversation that its turn ends."""
        return Talk(self.agent, self.scenario, self.conversation, self.again)

    @property
    def key(self) -> Key:
        """See `key_of`."""
        return key_of(self.agent, self.scenario, self.kind, self.name, bytes(self.request))


def key_of(agent: str, scenario: str, kind: str, name: str, request: bytes) -> Key:
    """What two recordings have in common that answer the same. `request` is JSON with sorted keys."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (agent, scenario, kind, name):
        digest.update(part.encode(errors="replace") + b"\0")
    digest.update(request)
    return digest.digest()


def sorted_json(value: Any) -> bytes:
    """Plain JSON with sorted keys."""
    return _SORTED.encode(value).encode()
