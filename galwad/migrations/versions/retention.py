"""Revision 0027: add the terms of recordings, and the versions of the rules of retention."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables and an index."""
    op.create_table(
        "recording_terms",
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("due", sa.Float()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )
    op.create_index("recording_terms_by_due", "recording_terms", ["due", "call_id", "category"])
    op.create_table(
        "retention_versions",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("stored", sa.Float(), nullable=False),
        sa.Column("approver", sa.String(200), nullable=False, server_default=""),
        sa.Column("in_force", sa.Float()),
        sa.Column("withdrawn", sa.Float()),
        sa.PrimaryKeyConstraint("version"),
    )
