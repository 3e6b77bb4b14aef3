"""Revision 0010: add a table of the callers whom a trunk has named during a call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table `later_callers`."""
    op.create_table(
        "later_callers",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.PrimaryKeyConstraint("call_id", "position"),
    )
    op.create_index("later_callers_by_number", "later_callers", ["number", "call_id"])


def downgrade() -> None:
    """Drop the table that this revision creates."""
    op.drop_table("later_callers")
