"""Revision 0024: add the lists of texts that administrators change on the page."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table `text_lists`."""
    op.create_table(
        "text_lists",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("entries", sa.Text(), nullable=True),
        sa.Column("former", sa.Text(), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    """Remove the table that this revision adds."""
    op.drop_table("text_lists")
