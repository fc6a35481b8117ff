"""Brings a database to the schema this version needs, or refuses one that a newer version wrote.

Alembic is imported where there is something to migrate: it takes a sixth of a core's start. An empty database gets its tables
as `tables.py` has them; a test holds that to what the migrations lead to.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from greenroom.storage.faults import DatabaseRefused
from greenroom.storage.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The revision this version needs; a test holds it equal to the newest in `migrations/`."""

_SCRIPTS = Path(__file__).parent / "migrations"
# Any number will do, as long as no other program takes the same advisory lock in this database.
_ADVISORY_LOCK = 0x677265656E726F6F


def current_revision(connection: sa.Connection) -> str | None:
    """None for a database that has no tables of ours yet. Needs an open transaction."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def check_revision(connection: sa.Connection, name: str) -> None:
    """Raises DatabaseRefused unless the schema is exactly ours: for those who may not change it."""
    revision = current_revision(connection)
    if revision is None:
        raise DatabaseRefused(f"{name} has no Greenroom tables")
    if revision != HEAD:
        raise DatabaseRefused(
            f"{name} has schema {revision}, this version of Greenroom needs {HEAD}: {_advice(revision)}"
        )


def migrate(connection: sa.Connection, name: str) -> None:
    """All steps are one transaction, and one process at a time makes it: the others wait and find it done.

    On SQLite `connection` begins transactions as a writer, which is that lock.
    """
    with connection.begin():
        if current_revision(connection) == HEAD:
            return
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        revision = current_revision(connection)
        if revision == HEAD:
            return
        if revision is None:
            _create(connection)
            return
        if not _is_known(revision):
            raise DatabaseRefused(
                f"{name} has schema {revision}, which this version of Greenroom does not know: {_NEWER}"
            )
        upgrade(connection)


def upgrade(connection: sa.Connection) -> None:
    """Runs the migrations that are left, in the open transaction."""
    from alembic import command  # noqa: PLC0415  # see above

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _create(connection: sa.Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    connection.execute(sa.schema.CreateTable(_version))
    connection.execute(_version.insert().values(version_num=HEAD))


def alembic_config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # ConfigParser reads a percent sign as the start of a reference.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


_NEWER = "a newer one wrote it, upgrade Greenroom"


# As alembic makes it.
_version = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def _is_known(revision: str) -> bool:
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(alembic_config())
    return any(script.revision == revision for script in scripts.walk_revisions())


def _advice(revision: str) -> str:
    return "run `greenroom migrate`" if _is_known(revision) else _NEWER
