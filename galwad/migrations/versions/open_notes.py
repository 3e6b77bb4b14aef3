"""Revision 0012: store who rang with each open contact note, and why a note was not needed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns to the table `contacts`."""
    for column in (
        sa.Column("number", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("withheld", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("no_note_reason", sa.String(length=20), nullable=False, server_default=""),
    ):
        op.add_column("contacts", column)


def downgrade() -> None:
    """Remove the columns that this revision adds."""
    for name in ("number", "withheld", "no_note_reason"):
        op.drop_column("contacts", name)
