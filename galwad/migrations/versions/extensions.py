"""Add the index of recordings by the extension that answered."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_index(
        "recordings_by_extension", "recordings", ["extension", "started", "call_id", "talk_us"]
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_index("recordings_by_extension", "recordings")
