"""Revision 0028: make legal holds cases; each retained recording gets a hold of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of holds. A hold of an earlier release has no owner, and is for review."""
    op.create_table(
        "legal_holds",
        sa.Column("hold_id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("review", sa.String(10), nullable=False),
        sa.Column("number", sa.String(64)),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("released", sa.Float()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hold_id"),
    )
    op.create_index("legal_holds_by_number", "legal_holds", ["number"])
    op.create_table(
        "hold_releases",
        sa.Column("hold_id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("asked_by", sa.String(100), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("hold_id", "call_id"),
        sa.ForeignKeyConstraint(["hold_id"], ["legal_holds.hold_id"]),
    )
    op.rename_table("recording_holds", "old_holds")
    op.create_table(
        "recording_holds",
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("hold_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("released", sa.Float()),
        sa.Column("kept_until", sa.Float()),
        sa.PrimaryKeyConstraint("call_id", "hold_id"),
        sa.ForeignKeyConstraint(["call_id"], ["recordings.call_id"]),
        sa.ForeignKeyConstraint(["hold_id"], ["legal_holds.hold_id"]),
    )
    op.create_index(
        "recording_holds_by_hold", "recording_holds", ["hold_id", "released", "call_id"]
    )
    op.execute(
        "INSERT INTO legal_holds (reference, reason, owner, review, opened, version) "
        "SELECT reason, call_id, '', date('now'), since, 1 FROM old_holds ORDER BY since, call_id"
    )
    op.execute(
        "INSERT INTO recording_holds (call_id, hold_id, since) SELECT old_holds.call_id, hold_id, "
        "since FROM old_holds JOIN legal_holds ON legal_holds.reason = old_holds.call_id"
    )
    op.execute("UPDATE legal_holds SET reason = reference")
    op.drop_table("old_holds")
