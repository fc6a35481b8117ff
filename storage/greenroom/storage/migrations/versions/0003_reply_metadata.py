"""What an agent adds to its reply's metadata.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    column = sa.Column("reply_metadata", sa.Text(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("turns", column)
