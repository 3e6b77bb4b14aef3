"""Revision 0003: add a table of retained recordings and a table of disposals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables `recording_holds` and `recording_disposals`."""
    op.create_table(
        "recording_holds",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.PrimaryKeyConstraint("call_id"),
    )
    op.create_table(
        "recording_disposals",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.PrimaryKeyConstraint("call_id"),
    )


def downgrade() -> None:
    """Drop the tables that this revision creates."""
    for table in ("recording_disposals", "recording_holds"):
        op.drop_table(table)
