"""Revision 0011: add a table of the network's effects on each party of a recording."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COUNTS = (
    "received",
    "lost",
    "late",
    "duplicate",
    "loss_bursts",
    "longest_loss",
    "jitter_us",
    "jitter_most_us",
)


def upgrade() -> None:
    """Create the table `recording_networks`."""
    op.create_table(
        "recording_networks",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.Column("mos", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.PrimaryKeyConstraint("call_id", "channel"),
    )


def downgrade() -> None:
    """Drop the table `recording_networks`."""
    op.drop_table("recording_networks")
