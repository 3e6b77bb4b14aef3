"""Revision 0015: add the list of alarms and their handling."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table `alarms`."""
    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=24), nullable=True),
        sa.Column("line", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.String(length=300), nullable=False),
        sa.Column("first", sa.Float(), nullable=False),
        sa.Column("latest", sa.Float(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("taken_by", sa.String(length=64), nullable=False),
        sa.Column("taken", sa.Float(), nullable=False),
        sa.Column("closed", sa.Float(), nullable=False),
        sa.Column("closed_by", sa.String(length=64), nullable=False),
        sa.Column("remark", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("alarm_id"),
    )
    op.create_index("alarms_by_closed", "alarms", ["closed"], unique=False)


def downgrade() -> None:
    """Remove the table that this revision adds."""
    op.drop_table("alarms")
