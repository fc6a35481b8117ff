"""Sessions: how they are found, listed, opened, closed and deleted. Each function runs in the caller's transaction."""

from typing import Any

import sqlalchemy as sa

from greenroom.core.ports import MissingSession, StaleSession
from greenroom.core.records import FailedTurn, Page, SessionRecord, UserRecord
from greenroom.storage.paging import encode_token
from greenroom.storage.rows import (
    FAILED_COLUMNS,
    SESSION_COLUMNS,
    USER_COLUMNS,
    failed_row,
    read_failed,
    read_session,
    to_microseconds,
    user_row,
)
from greenroom.storage.tables import failed_turns, sessions

SESSION_FIELDS: list[sa.Column[Any]] = [sessions.c[name] for name in SESSION_COLUMNS]
_FAILED_FIELDS: list[sa.Column[Any]] = [failed_turns.c[name] for name in FAILED_COLUMNS]
_BY_CHAT = sa.select(*SESSION_FIELDS).where(
    sessions.c.namespace == sa.bindparam("namespace"), sessions.c.chat_id == sa.bindparam("chat_id")
)
_MAX_FAILURES = 100
# SQLite and PostgreSQL agree on these words, SQLAlchemy has them for each apart.
_INSERT_USER = sa.text(
    f"INSERT INTO users ({', '.join(USER_COLUMNS)}) VALUES (:{', :'.join(USER_COLUMNS)}) ON CONFLICT DO NOTHING"
)


def find_chat(connection: sa.Connection, namespace: str, chat_id: str) -> SessionRecord | None:
    row = connection.execute(_BY_CHAT, {"namespace": namespace, "chat_id": chat_id}).first()
    return None if row is None else read_session(row)


def list_sessions(
    connection: sa.Connection, namespace: str, user_id: str, page_size: int, before: int | None
) -> Page[SessionRecord]:
    query = sa.select(*SESSION_FIELDS).where(sessions.c.namespace == namespace)
    if user_id:
        query = query.where(sessions.c.user_id == user_id)
    if before is not None:
        query = query.where(sessions.c.key < before)
    rows = connection.execute(query.order_by(sessions.c.key.desc()).limit(page_size + 1)).all()
    items = tuple(read_session(row) for row in rows[:page_size])
    return Page(items, encode_token(items[-1].key) if len(rows) > page_size else "")


def insert_user(connection: sa.Connection, user: UserRecord) -> None:
    """Leaves one that is there as it is."""
    connection.execute(_INSERT_USER, dict(zip(USER_COLUMNS, user_row(user), strict=True)))


def close_session(connection: sa.Connection, session: SessionRecord) -> None:
    closed_at = None if session.closed_at is None else to_microseconds(session.closed_at)
    change = (
        sessions.update()
        .where(sessions.c.key == session.key, sessions.c.version == session.version - 1)
        .values(closed_at=closed_at, version=session.version, updated_at=to_microseconds(session.updated_at))
    )
    if connection.execute(change).rowcount != 1:
        there = connection.execute(sa.select(sessions.c.key).where(sessions.c.key == session.key)).first()
        raise MissingSession if there is None else StaleSession


def delete_session(connection: sa.Connection, namespace: str, session_id: str) -> bool:
    """Turns and snapshots go with the session's row."""
    gone = connection.execute(
        sessions.delete().where(sessions.c.namespace == namespace, sessions.c.session_id == session_id)
    )
    connection.execute(
        failed_turns.delete().where(failed_turns.c.namespace == namespace, failed_turns.c.session_id == session_id)
    )
    return gone.rowcount > 0


def record_failure(connection: sa.Connection, failed: FailedTurn) -> None:
    connection.execute(failed_turns.insert().values(dict(zip(FAILED_COLUMNS, failed_row(failed), strict=True))))


def list_failures(connection: sa.Connection, namespace: str, session_id: str) -> list[FailedTurn]:
    query = (
        sa.select(*_FAILED_FIELDS)
        .where(failed_turns.c.namespace == namespace, failed_turns.c.session_id == session_id)
        .order_by(failed_turns.c.key.desc())
        .limit(_MAX_FAILURES)
    )
    return [read_failed(row) for row in reversed(connection.execute(query).all())]
