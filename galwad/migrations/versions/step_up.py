"""Revision 0023: store when a session has proven a stronger sign-in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `sessions.stepped_up`."""
    op.add_column("sessions", sa.Column("stepped_up", sa.Float(), nullable=True))


def downgrade() -> None:
    """Remove the column that this revision adds."""
    op.drop_column("sessions", "stepped_up")
