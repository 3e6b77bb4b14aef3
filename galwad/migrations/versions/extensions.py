"""Revision 0005: add a database index to find recordings by the extension that answered."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the database index `recordings_by_extension`."""
    op.create_index(
        "recordings_by_extension", "recordings", ["extension", "started", "call_id", "talk_us"]
    )


def downgrade() -> None:
    """Drop the database index `recordings_by_extension`."""
    op.drop_index("recordings_by_extension", "recordings")
