"""Revision 0008: add a column for the salt of the commitments in a recording's manifest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column `salt` to the table `recordings`."""
    column = sa.Column("salt", sa.String(length=64), server_default="", nullable=False)
    op.add_column("recordings", column)


def downgrade() -> None:
    """Drop the column `salt` of the table `recordings`."""
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.drop_column("salt")
