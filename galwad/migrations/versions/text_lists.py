"""Revision 0024: add the lists of texts that administrators change, and the teams of users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table `text_lists` and the column `users.team`."""
    op.create_table(
        "text_lists",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("entries", sa.Text(), nullable=True),
        sa.Column("former", sa.Text(), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    team: sa.Column[str] = sa.Column(
        "team", sa.String(length=32), nullable=False, server_default=""
    )
    op.add_column("users", team)


def downgrade() -> None:
    """Remove what this revision adds."""
    op.drop_column("users", "team")
    op.drop_table("text_lists")
