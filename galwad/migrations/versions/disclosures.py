"""Revision 0031: add the register of disclosures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of disclosures, of their recordings, and of the files that left."""
    op.create_table(
        "disclosures",
        sa.Column("disclosure_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("requester", sa.String(200), nullable=False),
        sa.Column("authority", sa.String(200), nullable=False),
        sa.Column("recipient", sa.String(200), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("urgent", sa.String(200), nullable=False),
        sa.Column("asked_by", sa.String(100), nullable=False),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.Column("decided_by", sa.String(100), nullable=False),
        sa.Column("decided", sa.Float(), nullable=True),
        sa.Column("decision_note", sa.String(200), nullable=False),
        sa.Column("closed_by", sa.String(100), nullable=False),
        sa.Column("closed", sa.Float(), nullable=True),
        sa.Column("closing_note", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("disclosure_id"),
    )
    op.create_table(
        "disclosure_calls",
        sa.Column("disclosure_id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.PrimaryKeyConstraint("disclosure_id", "call_id"),
        sa.ForeignKeyConstraint(["disclosure_id"], ["disclosures.disclosure_id"]),
    )
    op.create_index("disclosure_calls_by_call", "disclosure_calls", ["call_id"])
    op.create_table(
        "disclosed_files",
        sa.Column("disclosure_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("what", sa.String(200), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("disclosure_id", "position"),
        sa.ForeignKeyConstraint(["disclosure_id"], ["disclosures.disclosure_id"]),
    )
