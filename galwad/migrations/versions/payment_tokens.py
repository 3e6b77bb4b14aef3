"""Revision 0007: add a table of the tokens with which payment pages pause a recording once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table `payment_tokens`."""
    op.create_table(
        "payment_tokens",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("paused", sa.Float(), nullable=True),
        sa.Column("released", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_sha256"),
    )


def downgrade() -> None:
    """Drop the table `payment_tokens`."""
    op.drop_table("payment_tokens")
