"""Revision 0002: add the ledger of answered calls, and a table for the nightly coverage check."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables `answered_calls` and `coverage_findings`."""
    op.create_table(
        "answered_calls",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("answered", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=True),
        sa.Column("talk_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("call_id"),
    )
    with op.batch_alter_table("answered_calls", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_answered_calls_answered"), ["answered"], unique=False)

    op.create_table(
        "coverage_findings",
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("first_seen", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def downgrade() -> None:
    """Drop the tables that this revision creates."""
    for table in ("coverage_findings", "answered_calls"):
        op.drop_table(table)
