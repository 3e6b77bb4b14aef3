"""Revision 0013: store the state of the delivery of contact notes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_CONTACTS = ("entries", "reference")
_OUTBOX = ("state", "due", "attempts", "uncertain", "reason", "record_id")


def upgrade() -> None:
    """Add the columns to the tables `contacts` and `contact_outbox`."""
    for column in (
        sa.Column("entries", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("reference", sa.String(length=2000), nullable=False, server_default=""),
    ):
        op.add_column("contacts", column)
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column("state", sa.String(length=12), nullable=False, server_default="waiting"),
        sa.Column("due", sa.Float(), nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("uncertain", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.String(length=300), nullable=False, server_default=""),
        sa.Column("record_id", sa.String(length=200), nullable=False, server_default=""),
    )
    for each in columns:
        op.add_column("contact_outbox", each)
    op.execute("UPDATE contact_outbox SET state = 'delivered' WHERE delivered IS NOT NULL")
    op.create_index("contact_outbox_by_state", "contact_outbox", ["state", "due"])


def downgrade() -> None:
    """Remove the columns that this revision adds."""
    op.drop_index("contact_outbox_by_state", "contact_outbox")
    for name in _OUTBOX:
        op.drop_column("contact_outbox", name)
    for name in _CONTACTS:
        op.drop_column("contacts", name)
