"""Users and all that is theirs. Each function runs in the caller's transaction."""

from typing import Any

import sqlalchemy as sa

from greenroom.core.records import Page, UserRecord
from greenroom.storage.paging import encode_token
from greenroom.storage.rows import USER_COLUMNS, read_user
from greenroom.storage.sessions import insert_user
from greenroom.storage.tables import failed_turns, sessions, users

_USER_FIELDS: list[sa.Column[Any]] = [users.c[name] for name in USER_COLUMNS]

_BY_ID = sa.select(*_USER_FIELDS).where(
    users.c.namespace == sa.bindparam("namespace"), users.c.user_id == sa.bindparam("user_id")
)


def _is_user(namespace: str, user_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(users.c.namespace == namespace, users.c.user_id == user_id)


def put_user(connection: sa.Connection, user: UserRecord) -> UserRecord:
    insert_user(connection, user)
    connection.execute(
        users.update()
        .where(_is_user(user.namespace, user.user_id))
        .values(metadata=user.metadata_json, profile=user.profile_json)
    )
    stored = load_user(connection, user.namespace, user.user_id)
    assert stored is not None
    return stored


def load_user(connection: sa.Connection, namespace: str, user_id: str) -> UserRecord | None:
    row = connection.execute(_BY_ID, {"namespace": namespace, "user_id": user_id}).first()
    return None if row is None else read_user(row)


def list_users(connection: sa.Connection, namespace: str, page_size: int, before: int | None) -> Page[UserRecord]:
    query = sa.select(*_USER_FIELDS, users.c.key).where(users.c.namespace == namespace)
    if before is not None:
        query = query.where(users.c.key < before)
    rows = connection.execute(query.order_by(users.c.key.desc()).limit(page_size + 1)).all()
    items = tuple(read_user(row) for row in rows[:page_size])
    return Page(items, encode_token(rows[page_size - 1].key) if len(rows) > page_size else "")


def delete_user(connection: sa.Connection, namespace: str, user_id: str) -> list[str] | None:
    if connection.execute(users.delete().where(_is_user(namespace, user_id))).rowcount == 0:
        return None
    theirs = sa.and_(sessions.c.namespace == namespace, sessions.c.user_id == user_id)
    ids = list(connection.execute(sa.select(sessions.c.session_id).where(theirs).order_by(sessions.c.key)).scalars())
    connection.execute(sessions.delete().where(theirs))
    mine = sa.and_(failed_turns.c.namespace == namespace, failed_turns.c.user_id == user_id)
    connection.execute(failed_turns.delete().where(mine))
    return ids
