"""What a user's sessions have noted of it. It runs in the caller's transaction."""

import sqlalchemy as sa

from greenroom.core.records import Remembered, SessionRecord
from greenroom.storage.rows import from_microseconds
from greenroom.storage.tables import sessions, turns

# Statements are made once: making one costs more than running it.

_NEWEST = (
    sa.select(sessions.c.key, sessions.c.session_id, sessions.c.head)
    .where(
        sessions.c.namespace == sa.bindparam("namespace"),
        sessions.c.user_id == sa.bindparam("user_id"),
        sessions.c.agent == sa.bindparam("agent"),
        sessions.c.key != sa.bindparam("own"),
    )
    .order_by(sessions.c.key.desc())
    .limit(sa.bindparam("most"))
    .subquery()
)
_MEMORIES = (
    sa.select(_NEWEST.c.key, _NEWEST.c.session_id, turns.c.memory, turns.c.created_at)
    .join_from(_NEWEST, turns, sa.and_(turns.c.session_key == _NEWEST.c.key, turns.c.number == _NEWEST.c.head))
    .where(turns.c.memory != "")
    .order_by(_NEWEST.c.key.desc())
)


def load_memories(connection: sa.Connection, session: SessionRecord, most: int) -> list[Remembered]:
    whose = {"namespace": session.namespace, "user_id": session.user_id, "agent": session.agent, "own": session.key}
    rows = connection.execute(_MEMORIES, {**whose, "most": most})
    return [Remembered(key, name, memory, from_microseconds(at)) for key, name, memory, at in rows]
