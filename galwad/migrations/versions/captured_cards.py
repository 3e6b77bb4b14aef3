"""Revision 0009: add a table of card numbers that were keyed outside a pause."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table `captured_cards`."""
    op.create_table(
        "captured_cards",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=False),
        sa.Column("detected", sa.Float(), nullable=False),
        sa.Column("closed", sa.Float(), nullable=True),
        sa.Column("missing_trigger", sa.String(length=200), nullable=True),
        sa.Column("changed", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.PrimaryKeyConstraint("call_id", "from_us"),
    )


def downgrade() -> None:
    """Drop the table `captured_cards`."""
    op.drop_table("captured_cards")
