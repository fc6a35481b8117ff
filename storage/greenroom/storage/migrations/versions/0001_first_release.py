"""The tables of the first release.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BigInteger = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_sessions()
    _create_turns()
    _create_users()
    _create_evidence()


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("key", BigInteger, autoincrement=False, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("version", BigInteger, nullable=False),
        sa.Column("head", sa.Integer(), nullable=False),
        sa.Column("turn_count", sa.Integer(), nullable=False),
        sa.Column("transcript_mode", sa.Boolean(), nullable=False),
        sa.Column("minted", sa.Boolean(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("scenario_id", sa.Text(), nullable=False),
        sa.Column("scenario_requested", sa.Text(), nullable=False),
        sa.Column("scenario_found", sa.Boolean(), nullable=False),
        sa.Column("scenario_sha", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("seed_sha", sa.Text(), nullable=False),
        sa.Column("changed_bytes", BigInteger, nullable=False),
        sa.Column("created_at", BigInteger, nullable=False),
        sa.Column("updated_at", BigInteger, nullable=False),
        sa.Column("closed_at", BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_sessions"),
        sa.UniqueConstraint("namespace", "chat_id", name="uq_sessions_namespace_chat_id"),
        sa.UniqueConstraint("namespace", "session_id", name="uq_sessions_namespace_session_id"),
    )
    op.create_index("ix_sessions_created_at", "sessions", ["created_at"], unique=False)
    op.create_index("ix_sessions_namespace_key", "sessions", ["namespace", "key"], unique=False)
    op.create_index("ix_sessions_namespace_user_id_key", "sessions", ["namespace", "user_id", "key"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("session_key", BigInteger, nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("overlay", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_key"], ["sessions.key"], name="fk_snapshots_session_key_sessions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_key", "turn", name="pk_snapshots"),
    )


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("session_key", BigInteger, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("users_hash", sa.LargeBinary(), nullable=False),
        sa.Column("path_hash", sa.LargeBinary(), nullable=False),
        sa.Column("completion_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("evaluation", sa.Text(), nullable=False),
        sa.Column("history", sa.SmallInteger(), nullable=False),
        sa.Column("scenario_applied", sa.Boolean(), nullable=True),
        sa.Column("prompt_tokens", BigInteger, nullable=False),
        sa.Column("completion_tokens", BigInteger, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("tool_calls", sa.Text(), nullable=False),
        sa.Column("created_at", BigInteger, nullable=False),
        sa.Column("duration_us", BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["session_key"], ["sessions.key"], name="fk_turns_session_key_sessions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_key", "number", name="pk_turns"),
        sa.UniqueConstraint("attempt_id", name="uq_turns_attempt_id"),
    )
    op.create_index(
        "ix_turns_idempotency_key",
        "turns",
        ["idempotency_key"],
        unique=False,
        sqlite_where=sa.text("idempotency_key <> ''"),
        postgresql_where=sa.text("idempotency_key <> ''"),
    )
    op.create_index("ix_turns_session_key_users_hash", "turns", ["session_key", "users_hash"], unique=False)


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("key", BigInteger, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("created_at", BigInteger, nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_users"),
        sa.UniqueConstraint("namespace", "user_id", name="uq_users_namespace_user_id"),
    )
    op.create_index("ix_users_namespace_key", "users", ["namespace", "key"], unique=False)


def _create_evidence() -> None:
    op.create_table(
        "seeds",
        sa.Column("sha", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("put_at", BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sha", name="pk_seeds"),
    )
    op.create_table(
        "failed_turns",
        sa.Column("key", BigInteger, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("tool_calls", sa.Text(), nullable=False),
        sa.Column("failed_at", BigInteger, nullable=False),
        sa.Column("duration_us", BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_failed_turns"),
    )
    op.create_index("ix_failed_turns_failed_at", "failed_turns", ["failed_at"], unique=False)
    op.create_index(
        "ix_failed_turns_namespace_session_id_key", "failed_turns", ["namespace", "session_id", "key"], unique=False
    )
    op.create_index("ix_failed_turns_namespace_user_id", "failed_turns", ["namespace", "user_id"], unique=False)
    op.create_table(
        "probes",
        sa.Column("key", BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_probes"),
    )
