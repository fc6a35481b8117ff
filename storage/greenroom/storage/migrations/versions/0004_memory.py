"""What a turn's path has noted of its user, where memory is on.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("turns", sa.Column("memory", sa.Text(), server_default=sa.text("''"), nullable=False))
