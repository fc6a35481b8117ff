"""Turns as they are read: by path, by number, by attempt, by idempotency key. Each runs in the caller's transaction."""

from typing import Any

import sqlalchemy as sa

from greenroom.core.records import Page, Path, SessionRecord, Snapshot, TurnRecord
from greenroom.storage.paging import encode_token
from greenroom.storage.rows import SESSION_COLUMNS, TURN_COLUMNS, read_session, read_turn
from greenroom.storage.sessions import SESSION_FIELDS
from greenroom.storage.tables import sessions, turns

TURN_FIELDS: list[sa.Column[Any]] = [turns.c[name] for name in TURN_COLUMNS]


class HotQueries:
    """The reads that every turn of a session not in memory needs, as text for the driver."""

    def __init__(self, mark: str) -> None:
        self._session = (
            f"SELECT {', '.join(SESSION_COLUMNS)} FROM sessions WHERE namespace = {mark} AND session_id = {mark}"
        )
        # The rows go through the recursion whole: joined to its numbers afterwards, they would be looked for among all the
        # turns of the session, whose number either database takes for smaller than that of a path it has not seen.
        columns, fields = ", ".join(TURN_COLUMNS), ", ".join(f"t.{name}" for name in TURN_COLUMNS)
        path = f"""
            WITH RECURSIVE path AS (
                SELECT {columns} FROM turns WHERE session_key = {mark} AND number = {mark}
                UNION ALL
                SELECT {fields} FROM path JOIN turns t ON t.session_key = {mark} AND t.number = path.parent
            )"""
        self._whole_path = f"{path} SELECT {columns} FROM path ORDER BY number"
        self._path = f"""{path}, covered(turn) AS (
                SELECT coalesce(max(s.turn), 0) FROM snapshots s
                WHERE s.session_key = {mark} AND s.turn IN (SELECT number FROM path)
            )
            SELECT {", ".join(TURN_COLUMNS[:-1])}, CASE WHEN number > covered.turn THEN changes ELSE '[]' END, covered.turn
            FROM path CROSS JOIN covered ORDER BY number
        """
        self._overlay = f"SELECT overlay FROM snapshots WHERE session_key = {mark} AND turn = {mark}"

    def load_session(self, connection: sa.Connection, namespace: str, session_id: str) -> SessionRecord | None:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._session, (namespace, session_id))
            row = cursor.fetchone()
        finally:
            cursor.close()
        return None if row is None else read_session(row)

    def load_whole_path(self, connection: sa.Connection, key: int, number: int) -> Path:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._whole_path, (key, number, key))
            return Path(tuple(map(read_turn, cursor.fetchall())))
        finally:
            cursor.close()

    def load_path(self, connection: sa.Connection, key: int, number: int) -> Path:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._path, (key, number, key, key))
            rows = cursor.fetchall()
            covered = rows[0][-1] if rows else 0
            if not covered:
                return Path(tuple(map(read_turn, rows)))
            cursor.execute(self._overlay, (key, covered))
            overlay = cursor.fetchone()
        finally:
            cursor.close()
        assert overlay is not None
        return Path(tuple(map(read_turn, rows)), Snapshot(covered, overlay[0]))


# Statements are made once: making one costs more than running it.

_WITH_SESSION = sa.select(*SESSION_FIELDS, *TURN_FIELDS).join_from(
    turns, sessions, turns.c.session_key == sessions.c.key
)
_BY_ATTEMPT = _WITH_SESSION.where(turns.c.attempt_id == sa.bindparam("attempt_id"))
_BY_IDEMPOTENCY_KEY = (
    _WITH_SESSION.where(
        turns.c.idempotency_key == sa.bindparam("idempotency_key"),
        # As the partial index says it, or SQLite cannot know that the parameter is not empty.
        turns.c.idempotency_key != sa.literal_column("''"),
        turns.c.created_at >= sa.bindparam("since"),
        sessions.c.namespace == sa.bindparam("namespace"),
    )
    .order_by(turns.c.created_at.desc())
    .limit(1)
)
_BY_IDEMPOTENCY_KEY_AND_SESSION = _BY_IDEMPOTENCY_KEY.where(sessions.c.session_id == sa.bindparam("session_id"))
_BY_NUMBER = sa.select(*TURN_FIELDS).where(
    turns.c.session_key == sa.bindparam("key"), turns.c.number == sa.bindparam("number")
)


def find_attempt(connection: sa.Connection, attempt_id: str) -> tuple[SessionRecord, TurnRecord] | None:
    return _read_both(connection.execute(_BY_ATTEMPT, {"attempt_id": attempt_id}).first())


def find_idempotent(
    connection: sa.Connection, namespace: str, session_id: str, key: str, since: int
) -> tuple[SessionRecord, TurnRecord] | None:
    query = _BY_IDEMPOTENCY_KEY_AND_SESSION if session_id else _BY_IDEMPOTENCY_KEY
    values = {"idempotency_key": key, "since": since, "namespace": namespace}
    if session_id:
        values["session_id"] = session_id
    return _read_both(connection.execute(query, values).first())


def _read_both(row: sa.Row[Any] | None) -> tuple[SessionRecord, TurnRecord] | None:
    if row is None:
        return None
    width = len(SESSION_FIELDS)
    return read_session(row[:width]), read_turn(row[width:])


def list_turns(connection: sa.Connection, key: int, page_size: int, after: int | None) -> Page[TurnRecord]:
    query = (
        sa.select(*TURN_FIELDS)
        .where(turns.c.session_key == key, turns.c.number > (after or 0))
        .order_by(turns.c.number)
        .limit(page_size + 1)
    )
    rows = connection.execute(query).all()
    items = tuple(read_turn(row) for row in rows[:page_size])
    return Page(items, encode_token(items[-1].number) if len(rows) > page_size else "")


def load_turn(connection: sa.Connection, key: int, number: int) -> TurnRecord | None:
    row = connection.execute(_BY_NUMBER, {"key": key, "number": number}).first()
    return None if row is None else read_turn(row)


_UNDELIVERED = sa.select(turns.c.undelivered).where(
    turns.c.session_key == sa.bindparam("key"), turns.c.number == sa.bindparam("number")
)


_SET_UNDELIVERED = (
    turns.update()
    .where(turns.c.session_key == sa.bindparam("its_session"), turns.c.number == sa.bindparam("its_number"))
    .values(undelivered=sa.bindparam("undelivered"))
)


def is_undelivered(connection: sa.Connection, key: int, number: int) -> bool:
    return bool(connection.execute(_UNDELIVERED, {"key": key, "number": number}).scalar())


def set_undelivered(connection: sa.Connection, key: int, number: int, undelivered: bool) -> None:
    connection.execute(_SET_UNDELIVERED, {"its_session": key, "its_number": number, "undelivered": undelivered})


def path_numbers(connection: sa.Connection, key: int, head: int) -> frozenset[int]:
    start = sa.select(turns.c.number, turns.c.parent).where(turns.c.session_key == key, turns.c.number == head)
    path = start.cte("path", recursive=True)
    before = sa.select(turns.c.number, turns.c.parent).where(
        turns.c.session_key == key, turns.c.number == path.c.parent
    )
    path = path.union_all(before)
    return frozenset(connection.execute(sa.select(path.c.number)).scalars())
