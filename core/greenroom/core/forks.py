"""A path of turns, copied to begin another session with (SESSION-03, CHAT-14)."""

import secrets
from collections.abc import Sequence

import msgspec

from greenroom.core.evidence import without_memory
from greenroom.core.records import SessionRecord, TurnRecord
from greenroom.core.transcript import START, conversation_hash, rolled


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


def copied_path(turns: Sequence[TurnRecord], into: SessionRecord, *, same_user: bool = True) -> tuple[TurnRecord, ...]:
    """The turns as records of another session: numbered from 1, with attempt ids of their own, so that no repeated request
    is taken for one of the other session's. `turns` begin at a start and have all their changes. For another user they are
    copied without what was known and noted of their own (CHAT-16)."""
    copied: list[TurnRecord] = []
    for number, turn in enumerate(turns, 1):
        inputs = (turn.metadata_json, turn.options_json, turn.context_json)
        conversation, inputs_hash = traces(into, copied[-1] if copied else None, turn.path_hash, inputs)
        copied.append(
            msgspec.structs.replace(
                turn,
                number=number,
                parent=number - 1,
                attempt_id=secrets.token_hex(16),
                idempotency_key="",
                request_hash=b"",
                conversation_hash=conversation,
                inputs_hash=inputs_hash,
                memory_json=turn.memory_json if same_user else "",
                seen_json=turn.seen_json if same_user else without_memory(turn.seen_json),
            )
        )
    return tuple(copied)


def traces(
    session: SessionRecord, before: TurnRecord | None, path_hash: bytes, inputs: Sequence[str]
) -> tuple[bytes | None, bytes | None]:
    """A turn's `conversation_hash` and `inputs_hash`: only in a session that was opened without an id (CHAT-14). `inputs` are
    what came with its texts: metadata, options and context."""
    if not session.minted or (before is not None and before.inputs_hash is None):
        return None, None
    earlier = START if before is None or before.inputs_hash is None else before.inputs_hash
    whose = conversation_hash(path_hash, session.namespace, session.opened_by, session.user_id, session.agent)
    return whose, rolled(earlier, *inputs)
