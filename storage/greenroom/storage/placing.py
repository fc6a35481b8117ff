"""Where a request may stand: the turns that it continues, repeats or belongs to. Each runs in the caller's transaction."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa

from greenroom.core.records import Candidate, Conversation, TurnRecord
from greenroom.storage.bulk import padded, values_of
from greenroom.storage.rows import read_session, read_turn
from greenroom.storage.sessions import SESSION_FIELDS
from greenroom.storage.tables import sessions, turns
from greenroom.storage.turns import TURN_FIELDS

_PAIRS_A_QUERY = 512
_CONVERSATIONS = 100
_LAST_TURNS = 100


class CandidateQuery:
    """For each pair three steps into one index, which holds all that is asked for. Only among turns of one users' hash
    that differ in their replies it has to look for the pair's, newest first."""

    def __init__(self, mark: str) -> None:
        same_users = f"FROM turns t WHERE t.session_key = {mark} AND t.users_hash = asked.column1"
        newest = "ORDER BY t.number DESC LIMIT 1"
        self._texts = {
            size: f"""
                SELECT asked.column1, (SELECT t.number {same_users} {newest}), (SELECT t.path_hash {same_users} {newest}),
                    asked.column2, (SELECT t.number {same_users} AND t.path_hash = asked.column2 {newest})
                FROM ({values_of(size, 2, mark)}) AS asked
            """
            for size in (2**power for power in range(_PAIRS_A_QUERY.bit_length()))
        }

    def run(self, connection: sa.Connection, key: int, hashes: Sequence[tuple[bytes, bytes]]) -> list[Candidate]:
        """Newest first."""
        found = set()
        cursor = connection.connection.cursor()
        try:
            for at in range(0, len(hashes), _PAIRS_A_QUERY):
                pairs = padded(hashes[at : at + _PAIRS_A_QUERY])
                cursor.execute(self._texts[len(pairs)], (key, key, key, *map(bytearray, chain.from_iterable(pairs))))
                for users, newest, newest_path, path, number in cursor.fetchall():
                    if newest is not None:
                        found.add((newest, users, newest_path))
                    if number is not None:
                        found.add((number, users, path))
        finally:
            cursor.close()
        return [Candidate(*turn) for turn in sorted(found, reverse=True)]


# Statements are made once: making one costs more than running it.

_NEWEST = (
    sa.select(turns.c.session_key, turns.c.number, turns.c.inputs_hash)
    .where(
        turns.c.conversation_hash == sa.bindparam("conversation_hash"),
        # As the partial index says it, or SQLite would not use it.
        turns.c.conversation_hash != sa.literal_column("''"),
    )
    .order_by(turns.c.session_key.desc(), turns.c.number.desc())
    .limit(_CONVERSATIONS)
    .subquery()
)
_CONVERSATION = (
    sa.select(*SESSION_FIELDS, _NEWEST.c.number, _NEWEST.c.inputs_hash)
    .join_from(_NEWEST, sessions, _NEWEST.c.session_key == sessions.c.key)
    .order_by(_NEWEST.c.session_key.desc(), _NEWEST.c.number.desc())
)
_LAST = (
    sa.select(turns.c.number, turns.c.request_hash, turns.c.adopted)
    .where(turns.c.session_key == sa.bindparam("key"))
    .order_by(turns.c.number.desc())
    .limit(_LAST_TURNS)
    .subquery()
)
_REPEATED = (
    sa.select(_LAST.c.number)
    .where(_LAST.c.request_hash == sa.bindparam("request_hash"), sa.not_(_LAST.c.adopted))
    .order_by(_LAST.c.number.desc())
    .limit(1)
)
_BY_REQUEST = sa.select(*TURN_FIELDS).where(
    turns.c.session_key == sa.bindparam("key"), turns.c.number == _REPEATED.scalar_subquery()
)


def find_conversations(connection: sa.Connection, conversation_hash: bytes) -> list[Conversation]:
    rows: list[Any] = list(connection.execute(_CONVERSATION, {"conversation_hash": conversation_hash}))
    return [Conversation(read_session(row), row[-2], row[-1] or b"") for row in rows]


def find_request(connection: sa.Connection, key: int, request_hash: bytes) -> TurnRecord | None:
    row = connection.execute(_BY_REQUEST, {"key": key, "request_hash": request_hash}).first()
    return None if row is None else read_turn(row)
