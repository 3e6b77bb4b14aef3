"""Revision 0019: store drafts of contact notes, and when a wrap-up began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table `contact_drafts`, and the columns to the table `contacts`."""
    op.create_table(
        "contact_drafts",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("window", sa.String(length=40), nullable=False),
        sa.Column("edit", sa.Integer(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("saved", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["contacts.call_id"]),
        sa.PrimaryKeyConstraint("call_id", "author"),
    )
    for column in (
        sa.Column("ended", sa.Float(), nullable=False, server_default="0"),
        sa.Column("name", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("unfinished", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("contacts", column)


def downgrade() -> None:
    """Remove what this revision adds."""
    for name in ("ended", "name", "unfinished"):
        op.drop_column("contacts", name)
    op.drop_table("contact_drafts")
