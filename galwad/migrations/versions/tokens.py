"""Revision 0017: give tokens a name, scopes, an expiry, a creator and the last use's address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns to the table `sessions`. The tokens that exist stay valid as they are."""
    for column in (
        sa.Column("name", sa.String(length=40), nullable=True),
        sa.Column("scopes", sa.String(length=200), nullable=True),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("created_by", sa.String(length=80), nullable=False, server_default=""),
        sa.Column("address", sa.String(length=64), nullable=False, server_default=""),
    ):
        op.add_column("sessions", column)
    op.create_index("sessions_by_name", "sessions", ["user", "name"], unique=True)


def downgrade() -> None:
    """Remove the columns that this revision adds."""
    op.drop_index("sessions_by_name", "sessions")
    for name in ("name", "scopes", "expires", "created_by", "address"):
        op.drop_column("sessions", name)
