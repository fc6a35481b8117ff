"""What a stored turn tells of what its agent saw."""

from collections.abc import Sequence

import msgspec

from greenroom.core.conversation import conversation_of
from greenroom.core.ports import Store
from greenroom.core.records import Message, SessionRecord, TurnRecord

_decode_messages = msgspec.json.Decoder(list[Message]).decode


_NOTHING = msgspec.Raw()


class _Seen(msgspec.Struct):
    instructions: list[str] = []
    user: msgspec.Raw = _NOTHING
    messages: msgspec.Raw = _NOTHING


_decode = msgspec.json.Decoder(_Seen).decode


def system_texts(turn: TurnRecord) -> list[str]:
    """The system texts that the agent saw, in order: its own instructions, the scenario's, the context."""
    context: list[str] = msgspec.json.decode(turn.context_json)
    return [*_decode(turn.seen_json).instructions, *context]


def user_json(turn: TurnRecord) -> str:
    """What the agent saw of its user, as {"profile", "metadata"}; "{}" for nothing."""
    return bytes(_decode(turn.seen_json).user).decode() or "{}"


async def seen_messages(store: Store, session: SessionRecord, turn: TurnRecord) -> Sequence[Message]:
    """The conversation that the agent saw, up to and with what the user said. None for an adopted turn: no agent saw it."""
    if turn.adopted:
        return ()
    carried = _decode(turn.seen_json).messages
    if bytes(carried):
        return _decode_messages(carried)
    path = await store.load_path(session, turn.parent)
    return conversation_of((), path.turns, turn.messages)
