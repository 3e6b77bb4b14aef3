"""Revision 0025: add a table of the parties that got a call at the advisor's end later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table `later_advisors`."""
    op.create_table(
        "later_advisors",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("advisor", sa.String(length=100), nullable=False),
        sa.Column("extension", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.PrimaryKeyConstraint("call_id", "position"),
    )
    op.create_index("later_advisors_by_advisor", "later_advisors", ["advisor", "call_id"])
    op.create_index("later_advisors_by_extension", "later_advisors", ["extension", "call_id"])


def downgrade() -> None:
    """Drop the table that this revision creates."""
    op.drop_table("later_advisors")
