"""Revision 0029: let a search by hold read its recordings in the order of the result."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the start of each recording to the table of the recordings of holds."""
    op.rename_table("recording_holds", "old_holds")
    op.drop_index("recording_holds_by_hold", "old_holds")
    op.create_table(
        "recording_holds",
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("hold_id", sa.Integer(), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("released", sa.Float()),
        sa.Column("kept_until", sa.Float()),
        sa.PrimaryKeyConstraint("call_id", "hold_id"),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.ForeignKeyConstraint(["hold_id"], ["legal_holds.hold_id"]),
    )
    op.create_index(
        "recording_holds_by_hold", "recording_holds", ["hold_id", "released", "started", "call_id"]
    )
    op.execute(
        "INSERT INTO recording_holds SELECT old_holds.call_id, hold_id, coalesce(started, since), "
        "since, released, kept_until FROM old_holds "
        "LEFT JOIN recordings ON recordings.call_id = old_holds.call_id"
    )
    op.drop_table("old_holds")
