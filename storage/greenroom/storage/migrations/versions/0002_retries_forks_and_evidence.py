"""What retries, forks, conversations without an id and the evidence of a turn need.

A turn knows the scenario it ran in, and a path's first turn from where it started: turns of before have their session's.

Revision ID: 0002
"""

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BigInteger = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_SESSIONS_A_STEP = 1000


def upgrade() -> None:
    op.add_column("sessions", sa.Column("forked_from", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("sessions", sa.Column("forked_turn", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for column in (
        sa.Column("retry_count", BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("undelivered", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("conversation_hash", sa.LargeBinary(), server_default=sa.text("''"), nullable=False),
        sa.Column("inputs_hash", sa.LargeBinary(), server_default=sa.text("''"), nullable=False),
        sa.Column("scenario", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("scenario_sha", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("seed_sha", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("placed", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("seen", sa.Text(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("waited_us", BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("ran_us", BigInteger, server_default=sa.text("0"), nullable=False),
    ):
        op.add_column("turns", column)
    _fill_scenarios()
    op.drop_index("ix_turns_session_key_users_hash", "turns")
    op.create_index(
        "ix_turns_session_key_users_hash_number_path_hash",
        "turns",
        ["session_key", "users_hash", "number", "path_hash"],
    )
    _create_partial_index("conversation_hash <> ''", "conversation_hash", "session_key", "number")
    _create_partial_index("scenario_sha <> ''", "scenario_sha")
    _create_partial_index("seed_sha <> ''", "seed_sha")


def _create_partial_index(condition: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(f"ix_turns_{'_'.join(columns)}", "turns", list(columns), sqlite_where=where, postgresql_where=where)


def _fill_scenarios() -> None:
    """In steps, so that memory holds whatever the size of the database. The text is made here: ids are any text, and what
    PostgreSQL stores for some characters is not what they are."""
    connection = op.get_bind()
    read = sa.text(
        "SELECT key, scenario_id, scenario_requested, scenario_found, scenario_sha, seed_sha FROM sessions"
        " WHERE key > :after ORDER BY key LIMIT :step"
    )
    fill = sa.text(
        "UPDATE turns SET scenario = :scenario,"
        " scenario_sha = CASE WHEN parent = 0 THEN :scenario_sha ELSE '' END,"
        " seed_sha = CASE WHEN parent = 0 THEN :seed_sha ELSE '' END"
        " WHERE session_key = :key"
    )
    after = -1
    while rows := connection.execute(read, {"after": after, "step": _SESSIONS_A_STEP}).all():
        values = []
        for key, scenario_id, requested, found, scenario_sha, seed_sha in rows:
            scenario = {"id": scenario_id, "requested": requested, "found": bool(found)}
            text = msgspec.json.encode(scenario).decode()
            values.append({"key": key, "scenario": text, "scenario_sha": scenario_sha, "seed_sha": seed_sha})
        connection.execute(fill, values)
        after = rows[-1].key
