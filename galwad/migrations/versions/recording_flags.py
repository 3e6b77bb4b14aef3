"""Revision 0026: add the flags of recordings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "recording_flags",
        sa.Column("flag", sa.String(20), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("flag", "started", "call_id"),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sqlite_with_rowid=False,
    )
    op.create_index("recording_flags_by_call", "recording_flags", ["call_id"])
