"""Revision 0004: add a column for the size of the file with a recording's undecoded packets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column `raw_size` to the table `recordings`."""
    column = sa.Column("raw_size", sa.BigInteger(), server_default="0", nullable=False)
    op.add_column("recordings", column)


def downgrade() -> None:
    """Drop the column `raw_size` of the table `recordings`."""
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.drop_column("raw_size")
