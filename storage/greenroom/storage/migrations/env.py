"""Run by alembic; `migrating.py` gives it the connection, and the transaction is begun and ended there."""

import sqlalchemy as sa
from alembic import context

from greenroom.storage.tables import metadata

connection: sa.Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
