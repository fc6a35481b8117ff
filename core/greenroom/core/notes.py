"""What a session has noted of its user, as it is stored with each of its turns; and what several sessions come to.

A turn's notes are all that its path has noted so far, as its state is. So the newest turn's are the session's, and notes of
turns that were superseded are in none that counts.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from greenroom.core.limits import Limits
from greenroom.core.plain import size_of, well_formed
from greenroom.core.records import Remembered

EARLIER_READ = 200
"""How many earlier sessions are looked at, the newest."""
_EARLIER_SHOWN = 20
_CUT = 200


class Note(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A fact that was noted, or forgotten (`text` is None). `key` is the text itself where the agent gave none."""

    key: str
    text: str | None
    at: datetime


class Notes(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a session has noted, as one of its turns left it."""

    earlier: tuple[Note, ...] = ()
    """By the turns before it on its path, each key once."""
    new: tuple[Note, ...] = ()
    """By the turn itself."""
    summary: str = ""
    """The agent's own; "" for none."""
    summarised: bool = False
    """Whether the turn itself gave it."""
    opening: str = ""
    """What the user said first on the path, cut."""
    closing: str = ""
    """What the agent said last, cut."""
    turns: int = 0
    """How many there are on the path."""

    @property
    def all(self) -> tuple[Note, ...]:
        """Each key once, what was noted last at the end."""
        if not self.new:
            return self.earlier
        newest: dict[str, Note] = {}
        for note in (*self.earlier, *self.new):
            newest.pop(note.key, None)
            newest[note.key] = note
        return tuple(newest.values())

    @property
    def size(self) -> int:
        """Of what the agent gave, in bytes."""
        own = [(note.text or "") + ("" if note.key == note.text else note.key) for note in self.all]
        return size_of(self.summary) + sum(map(size_of, own))


class Fact(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that is known of a user. `key` is "" where it was remembered without one."""

    text: str
    key: str = ""
    session_id: str = ""
    """The session that remembered it."""
    at: datetime | None = None
    """When, by the machine's clock."""


class EarlierSession(msgspec.Struct, frozen=True, gc=False):
    """A session of the same user, in short: as its agent summed it up, else how it began and how it ended."""

    session_id: str
    summary: str
    turns: int
    at: datetime
    """When its newest turn was committed, by the machine's clock."""


class Known(msgspec.Struct, frozen=True, gc=False):
    """What earlier sessions have left, oldest first."""

    facts: tuple[Fact, ...] = ()
    sessions: tuple[EarlierSession, ...] = ()


NOTHING_KNOWN = '{"facts":[],"sessions":[]}'

read_notes = msgspec.json.Decoder(Notes).decode
read_known = msgspec.json.Decoder(Known).decode
_encode = msgspec.json.Encoder().encode


def notes_json(notes: Notes) -> str:
    return _encode(notes).decode()


def known_json(known: Known) -> str:
    return _encode(known).decode()


def cut(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(well_formed(text).split())
    return line if len(line) <= _CUT else line[: _CUT - 1] + "…"


def fact_of(note: Note, session_id: str = "") -> Fact | None:
    """None: it was forgotten."""
    if note.text is None:
        return None
    return Fact(note.text, "" if note.key == note.text else note.key, session_id, note.at)


def known_of(left: Iterable[Remembered], limits: Limits) -> Known:
    """What these sessions come to: of two notes of one key the later one holds, the older ones go where there are too many."""
    sessions = sorted(((one, read_notes(one.memory_json)) for one in left), key=lambda pair: pair[0].order)
    noted = [(note.at, one.key, place, note, one) for one, notes in sessions for place, note in enumerate(notes.all)]
    noted.sort(key=lambda entry: entry[:3])
    facts: dict[str, Fact | None] = {}
    for *_, note, one in noted:
        facts.pop(note.key, None)
        facts[note.key] = fact_of(note, one.session_id)
    held = [fact for fact in facts.values() if fact is not None][-limits.memory_facts :]
    told = [
        EarlierSession(one.session_id, notes.summary or _gist(notes), notes.turns, one.at)
        for one, notes in sessions[-_EARLIER_SHOWN:]
    ]
    room = limits.memory_bytes
    kept_facts = _newest([fact.text + fact.key for fact in held], room)
    room -= sum(size_of(fact.text + fact.key) for fact in held[kept_facts:])
    kept_sessions = _newest([session.summary for session in told], room)
    return Known(tuple(held[kept_facts:]), tuple(told[kept_sessions:]))


def _newest(texts: Sequence[str], room: int) -> int:
    """From where on they fit."""
    for place in range(len(texts) - 1, -1, -1):
        room -= size_of(texts[place])
        if room < 0:
            return place + 1
    return 0


def _gist(notes: Notes) -> str:
    began = f'began with "{notes.opening}"' if notes.opening else "the agent began"
    return f'{notes.turns} turn{"" if notes.turns == 1 else "s"}; {began}, ended with "{notes.closing}"'
