"""A path of turns, copied to begin another session with (SESSION-03, CHAT-14)."""

import secrets
from collections.abc import Sequence

import msgspec

from greenroom.core.records import SessionRecord, TurnRecord
from greenroom.core.transcript import conversation_hash


def forked(session: SessionRecord, source: SessionRecord, path: Sequence[TurnRecord]) -> SessionRecord:
    """A new session as it is once it has this path of another one. What its own client sends is not known yet."""
    return msgspec.structs.replace(
        session,
        start=(path[0].start if path else None) or source.start,
        head=len(path),
        turn_count=len(path),
        forked_from=source.session_id,
        forked_turn=path[-1].number if path else 0,
    )


def copied_path(turns: Sequence[TurnRecord], into: SessionRecord) -> tuple[TurnRecord, ...]:
    """The turns as records of another session: numbered from 1, with attempt ids of their own, so that no repeated request
    is taken for one of the other session's. `turns` begin at a start and have all their changes."""
    return tuple(
        msgspec.structs.replace(
            turn,
            number=number,
            parent=number - 1,
            attempt_id=secrets.token_hex(16),
            idempotency_key="",
            request_hash=b"",
            conversation_hash=found_by(into, turn.path_hash),
        )
        for number, turn in enumerate(turns, 1)
    )


def found_by(session: SessionRecord, path_hash: bytes) -> bytes | None:
    """What a turn's conversation is found by when its client sends no session id: only where none was given (CHAT-14)."""
    if not session.minted:
        return None
    return conversation_hash(path_hash, session.namespace, session.opened_by, session.user_id)
