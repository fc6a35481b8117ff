"""What a stored turn tells of what its agent saw."""

from collections.abc import Sequence

import msgspec

from greenroom.core.conversation import conversation_of
from greenroom.core.notes import NOTHING_KNOWN, fact_of, read_notes
from greenroom.core.ports import Store
from greenroom.core.records import Message, SessionRecord, TurnRecord

_decode_messages = msgspec.json.Decoder(list[Message]).decode


_NOTHING = msgspec.Raw()


class _Seen(msgspec.Struct):
    instructions: list[str] = []
    user: msgspec.Raw = _NOTHING
    messages: msgspec.Raw = _NOTHING
    memory: msgspec.Raw = _NOTHING


_decode = msgspec.json.Decoder(_Seen).decode


def system_texts(turn: TurnRecord) -> list[str]:
    """The system texts that the agent saw, in order: its own instructions, the scenario's, the context."""
    context: list[str] = msgspec.json.decode(turn.context_json)
    return [*_decode(turn.seen_json).instructions, *context]


def user_json(turn: TurnRecord) -> str:
    """What the agent saw of its user, as {"profile", "metadata"}; "{}" for nothing."""
    return bytes(_decode(turn.seen_json).user).decode() or "{}"


def memory_json(turn: TurnRecord) -> str:
    """What was known of its user from earlier sessions, as {"facts", "sessions"}; "" where it is not kept with this turn."""
    return bytes(_decode(turn.seen_json).memory).decode() if '"memory":' in turn.seen_json else ""


def known_json(turn: TurnRecord) -> str:
    """The same to be shown; "" where nothing was known."""
    known = memory_json(turn)
    return "" if known == NOTHING_KNOWN else known


def noted_json(turn: TurnRecord) -> str:
    """What the turn noted of its user, as {"facts", "forgotten", "summary"}, each where there is any; "" for nothing."""
    if not turn.memory_json:
        return ""
    notes = read_notes(turn.memory_json)
    noted: dict[str, object] = {}
    if facts := [fact for note in notes.new if (fact := fact_of(note)) is not None]:
        noted["facts"] = facts
    if forgotten := [note.key for note in notes.new if note.text is None]:
        noted["forgotten"] = forgotten
    if notes.summarised:
        noted["summary"] = notes.summary
    return msgspec.json.encode(noted).decode() if noted else ""


def without_memory(seen_json: str) -> str:
    """A turn's `seen_json` without what was known from earlier sessions."""
    if '"memory":' not in seen_json:
        return seen_json
    seen = msgspec.json.decode(seen_json, type=dict[str, msgspec.Raw])
    seen.pop("memory", None)
    return msgspec.json.encode(seen).decode()


async def seen_messages(store: Store, session: SessionRecord, turn: TurnRecord) -> Sequence[Message]:
    """The conversation that the agent saw, up to and with what the user said. None for an adopted turn: no agent saw it."""
    if turn.adopted:
        return ()
    carried = _decode(turn.seen_json).messages
    if bytes(carried):
        return _decode_messages(carried)
    path = await store.load_path(session, turn.parent)
    return conversation_of((), path.turns, turn.messages)
