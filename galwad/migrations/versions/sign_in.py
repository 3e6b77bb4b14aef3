"""Revision 0020: add the identities of people at an OpenID provider, and how sessions began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table `identities` and the column `sessions.provider`."""
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("issuer", "subject"),
    )
    op.create_index("ix_identities_user", "identities", ["user"], unique=False)
    provider: sa.Column[bool] = sa.Column(
        "provider", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("sessions", provider)


def downgrade() -> None:
    """Remove what this revision adds."""
    op.drop_column("sessions", "provider")
    op.drop_table("identities")
