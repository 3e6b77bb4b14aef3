"""Revision 0018: add the log of calls, and find contact notes by their person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables `logged_calls` and `logged_parts`, and an index of the notes by person."""
    op.create_index("contacts_by_person", "contacts", ["person_id", "started"], unique=False)
    op.create_table(
        "logged_calls",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("answered", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=False),
        sa.Column("line", sa.String(length=100), nullable=False),
        sa.Column("outgoing", sa.Boolean(), nullable=False),
        sa.Column("internal", sa.Boolean(), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        sa.Column("advisor", sa.String(length=64), nullable=False),
        sa.Column("extension", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("transfers", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(length=20), nullable=False),
        sa.Column("talk_us", sa.BigInteger(), nullable=False),
        sa.Column("pauses", sa.Integer(), nullable=False),
        sa.Column("paused_us", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )
    op.create_index("logged_calls_by_start", "logged_calls", ["started"], unique=False)
    op.create_index("logged_calls_by_number", "logged_calls", ["number", "started"], unique=False)
    op.create_index("logged_calls_by_end", "logged_calls", ["ended"], unique=False)
    op.create_table(
        "logged_parts",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=6), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("extension", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("destination", sa.String(length=20), nullable=False),
        sa.Column("result", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "position"),
    )
    op.create_index("logged_parts_by_user", "logged_parts", ["user", "at"], unique=False)


def downgrade() -> None:
    """Remove the tables and the index that this revision adds."""
    op.drop_index("contacts_by_person", table_name="contacts")
    op.drop_table("logged_parts")
    op.drop_table("logged_calls")
