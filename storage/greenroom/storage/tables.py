"""The schema as it is now; `migrations/` holds how it came to be, and a test holds the two together.

Free JSON is text, exactly as it came. Times are microseconds since 1970 in UTC. Rows are keyed by our own numbers. A turn
is one row, its tool calls and world changes in it as JSON: a row per tool call costs a third more CPU a turn, and nothing
asks for a tool call apart from its turn.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column that is declared INTEGER.
BigInteger = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index_where(condition: str, *columns: str) -> sa.Index:
    """An index on the few rows that meet a condition; the others cost next to nothing."""
    where = sa.text(condition)
    return sa.Index(None, *columns, sqlite_where=where, postgresql_where=where)


sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("key", BigInteger, primary_key=True, autoincrement=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("chat_id", sa.Text, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("version", BigInteger, nullable=False),
    sa.Column("head", sa.Integer, nullable=False),
    sa.Column("turn_count", sa.Integer, nullable=False),
    sa.Column("transcript_mode", sa.Boolean, nullable=False),
    sa.Column("minted", sa.Boolean, nullable=False),
    sa.Column("opened_by", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Column("scenario_id", sa.Text, nullable=False),
    sa.Column("scenario_requested", sa.Text, nullable=False),
    sa.Column("scenario_found", sa.Boolean, nullable=False),
    sa.Column("scenario_sha", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("seed_sha", sa.Text, nullable=False),
    sa.Column("changed_bytes", BigInteger, nullable=False),
    sa.Column("created_at", BigInteger, nullable=False),
    sa.Column("updated_at", BigInteger, nullable=False),
    sa.Column("closed_at", BigInteger),
    sa.Column("forked_from", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("forked_turn", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.UniqueConstraint("namespace", "session_id"),
    sa.UniqueConstraint("namespace", "chat_id"),
    sa.Index(None, "namespace", "key"),
    sa.Index(None, "namespace", "user_id", "key"),
    # Retention asks for an old `updated_at`, but an index on it would be rewritten by every turn (and keep PostgreSQL from
    # updating in the page). What was idle for so long was created before that: this one is written once a session.
    sa.Index(None, "created_at"),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("session_key", BigInteger, sa.ForeignKey("sessions.key", ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("parent", sa.Integer, nullable=False),
    sa.Column("adopted", sa.Boolean, nullable=False),
    sa.Column("attempt_id", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("users_hash", sa.LargeBinary, nullable=False),
    sa.Column("path_hash", sa.LargeBinary, nullable=False),
    sa.Column("completion_id", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("messages", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sa.Column("confidence", sa.Double),
    sa.Column("evaluation", sa.Text, nullable=False),
    sa.Column("history", sa.SmallInteger, nullable=False),
    sa.Column("scenario_applied", sa.Boolean),
    sa.Column("prompt_tokens", BigInteger, nullable=False),
    sa.Column("completion_tokens", BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("changes", sa.Text, nullable=False),
    sa.Column("tool_calls", sa.Text, nullable=False),
    sa.Column("created_at", BigInteger, nullable=False),
    sa.Column("duration_us", BigInteger, nullable=False),
    # What came with migration 0002 stands last, where it was added, and has a default for the rows that were there.
    sa.Column("retry_count", BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("undelivered", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("conversation_hash", sa.LargeBinary, nullable=False, server_default=sa.text("''")),
    sa.Column("inputs_hash", sa.LargeBinary, nullable=False, server_default=sa.text("''")),
    sa.Column("scenario", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("scenario_sha", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("seed_sha", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("placed", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("seen", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("waited_us", BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("ran_us", BigInteger, nullable=False, server_default=sa.text("0")),
    # And with 0003.
    sa.Column("reply_metadata", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    # And with 0004.
    sa.Column("memory", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.PrimaryKeyConstraint("session_key", "number"),
    sa.UniqueConstraint("attempt_id"),
    # Placing reads this index alone: it need not look at a turn.
    sa.Index(None, "session_key", "users_hash", "number", "path_hash"),
    _index_where("idempotency_key <> ''", "idempotency_key"),
    _index_where("conversation_hash <> ''", "conversation_hash", "session_key", "number"),
    # A start that was superseded still needs its world and its scenario.
    _index_where("scenario_sha <> ''", "scenario_sha"),
    _index_where("seed_sha <> ''", "seed_sha"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("session_key", BigInteger, sa.ForeignKey("sessions.key", ondelete="CASCADE"), nullable=False),
    sa.Column("turn", sa.Integer, nullable=False),
    sa.Column("overlay", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("session_key", "turn"),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("key", BigInteger, primary_key=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("created_at", BigInteger, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.UniqueConstraint("namespace", "user_id"),
    sa.Index(None, "namespace", "key"),
)

# Starting worlds and resolved scenarios, each once, so that a changed file never changes a running session.
seeds = sa.Table(
    "seeds",
    metadata,
    sa.Column("sha", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("put_at", BigInteger, nullable=False),
)

failed_turns = sa.Table(
    "failed_turns",
    metadata,
    sa.Column("key", BigInteger, primary_key=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("attempt_id", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("messages", sa.Text, nullable=False),
    sa.Column("tool_calls", sa.Text, nullable=False),
    sa.Column("failed_at", BigInteger, nullable=False),
    sa.Column("duration_us", BigInteger, nullable=False),
    sa.Index(None, "namespace", "session_id", "key"),
    sa.Index(None, "namespace", "user_id"),
    sa.Index(None, "failed_at"),
)

# Empty but for an instant: the health check writes a row here and deletes it, to know that there is room for a turn.
probes = sa.Table(
    "probes",
    metadata,
    sa.Column("key", BigInteger, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
