"""Turns on their way into the database: rows made on the event loop, written in groups by the writer's thread.

This is the turn's path, so it hands tuples to the driver: SQLAlchemy's own executemany costs more than the database does.
"""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from greenroom.core.ports import DuplicateAttempt, MissingSession, StaleSession
from greenroom.core.records import TurnCommit
from greenroom.storage.bulk import padded, values_of
from greenroom.storage.database import Database
from greenroom.storage.rows import (
    MUTABLE_SESSION_COLUMNS,
    SESSION_COLUMNS,
    TURN_COLUMNS,
    USER_COLUMNS,
    session_row,
    session_tail,
    turn_row,
    user_row,
)
from greenroom.storage.tables import sessions, turns, users

Row = tuple[Any, ...]

_SESSION_KEY = itemgetter(-2)


class LostRace(Exception):
    """Some session in the group no longer has the version that its commit expects, or some user is gone."""


class Prepared:
    """A commit as rows."""

    __slots__ = ("attempt_ids", "key", "opened", "owner", "snapshot", "starts", "turns", "updated", "user")

    def __init__(self, commit: TurnCommit) -> None:
        session = commit.session
        self.key = session.key
        self.opened: Row | None = None
        self.updated: Row | None = None
        if commit.expected_version is None:
            self.opened = session_row(session)
        else:
            self.updated = (*session_tail(session), session.key, commit.expected_version)
        self.starts = self.updated is None or commit.turns[0].start is not None
        self.user = None if commit.new_user is None else user_row(commit.new_user)
        self.owner = (session.namespace, session.user_id) if commit.user_must_exist else None
        self.turns = [turn_row(session.key, turn) for turn in commit.turns]
        self.attempt_ids = [turn.attempt_id for turn in commit.turns]
        snapshot = commit.snapshot
        self.snapshot = None if snapshot is None else (session.key, snapshot.turn, snapshot.overlay_json)


class CommitWriter:
    """Writes a group of commits into the transaction that is open."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._update_session = database.bulk_update("sessions", MUTABLE_SESSION_COLUMNS, ("key", "version"))
        self._user_lock = database.user_lock
        self._mark = database.mark
        self._insert_session = database.bulk_insert("sessions", SESSION_COLUMNS)
        self._insert_user = database.bulk_insert("users", USER_COLUMNS, " ON CONFLICT DO NOTHING")
        self._insert_turn = database.bulk_insert("turns", TURN_COLUMNS)
        self._insert_snapshot = database.bulk_insert("snapshots", ("session_key", "turn", "overlay"))

    def write(self, connection: sa.Connection, commits: Sequence[Prepared]) -> None:
        """Raises LostRace or the driver's error; then the transaction is to be rolled back.

        Users are locked before sessions, as by those who delete users, and rows of a table in one order: processes that
        write at a time do not wait for each other in a circle.
        """
        updated = [commit.updated for commit in commits if commit.updated is not None]
        opened = [commit.opened for commit in commits if commit.opened is not None]
        users = [commit.user for commit in commits if commit.user is not None]
        owners = {commit.owner for commit in commits if commit.owner is not None}
        updated.sort(key=_SESSION_KEY)
        users.sort()
        snapshots = [commit.snapshot for commit in commits if commit.snapshot is not None]
        update, insert = connection.connection.cursor(), connection.connection.cursor()
        keep = connection.connection.cursor() if owners else None
        with self._database.batch(connection):
            if keep is not None:
                self._keep_users(keep, sorted(owners))
            self._insert_user(insert, users)
            changed = self._update_session(update, updated)
            self._insert_session(insert, opened)
            self._insert_turn(insert, [row for commit in commits for row in commit.turns])
            self._insert_snapshot(insert, snapshots)
        if changed() != len(updated) or (keep is not None and len(keep.fetchall()) != len(owners)):
            raise LostRace

    def _keep_users(self, cursor: Any, owners: Sequence[tuple[str, str]]) -> None:
        """Finds those that are there and, where others write too, keeps them from being deleted meanwhile."""
        names = padded(owners)
        cursor.execute(
            f"SELECT key FROM users WHERE (namespace, user_id) IN ({values_of(len(names), 2, self._mark)})"
            f" ORDER BY namespace, user_id{self._user_lock}",
            tuple(chain.from_iterable(names)),
        )


def is_stored(connection: sa.Connection, attempt_ids: Sequence[str]) -> bool:
    """Whether a turn of one of these attempts is there."""
    query = sa.select(turns.c.number).where(turns.c.attempt_id.in_(attempt_ids)).limit(1)
    return connection.execute(query).first() is not None


def explain(connection: sa.Connection, commit: Prepared, error: Exception) -> Exception:
    """Why a commit that was written alone broke a rule: the port's error, or `error` where it has none."""
    if is_stored(connection, commit.attempt_ids):
        return DuplicateAttempt()
    if commit.updated is not None:
        version = connection.execute(sa.select(sessions.c.version).where(sessions.c.key == commit.key)).scalar()
        if version is None:
            return MissingSession()
        return error if version == commit.updated[-1] else StaleSession()
    assert commit.opened is not None
    if commit.owner is not None:
        namespace, user_id = commit.owner
        owner = sa.select(users.c.key).where(users.c.namespace == namespace, users.c.user_id == user_id)
        if isinstance(error, LostRace) or connection.execute(owner).first() is None:
            return MissingSession()
    key, namespace, session_id, chat_id = commit.opened[:4]
    taken = sa.or_(
        sessions.c.key == key,
        sa.and_(sessions.c.namespace == namespace, sessions.c.session_id == session_id),
        sa.and_(sessions.c.namespace == namespace, sessions.c.chat_id == chat_id),
    )
    found = connection.execute(sa.select(sessions.c.key).where(taken).limit(1)).first()
    return error if found is None else StaleSession()
