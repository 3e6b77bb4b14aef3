"""Revision 0021: add the second factors of users, their recovery codes, and limited sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `second_factors`, `recovery_codes` and `sessions.needs_second_factor`."""
    op.create_table(
        "second_factors",
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("recovery_used", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user"),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("used", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_recovery_codes_user", "recovery_codes", ["user"], unique=False)
    limited: sa.Column[bool] = sa.Column(
        "needs_second_factor", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("sessions", limited)


def downgrade() -> None:
    """Remove what this revision adds."""
    op.drop_column("sessions", "needs_second_factor")
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
