"""Revision 0030: add the register of requests by people about their data, and of complaints."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of cases, and let contact notes and the audit be searched for a person."""
    op.create_table(
        "cases",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("representative", sa.String(200), nullable=False),
        sa.Column("authority", sa.String(200), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("language", sa.String(2), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("received", sa.String(10), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("case_id"),
    )
    op.create_table(
        "case_steps",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("withdrawn", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "position"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"]),
    )
    op.create_table(
        "case_searches",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("places", sa.Text(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "position"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"]),
    )
    op.create_table(
        "case_calls",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("search", sa.Integer(), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "call_id", "search"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"]),
    )
    op.create_table(
        "case_exclusions",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "call_id"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"]),
    )
    op.create_index("case_calls_by_call", "case_calls", ["call_id"])
    op.create_index("case_calls_by_start", "case_calls", ["case_id", "started", "call_id"])
    op.add_column(
        "contacts", sa.Column("erased", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index("contacts_by_reference", "contacts", ["reference", "started"])
    op.create_index(
        "contacts_on_behalf",
        "contacts",
        ["on_behalf_of"],
        sqlite_where=sa.text("on_behalf_of != ''"),
    )
    op.create_index("audit_entries_by_time", "audit_entries", ["node", "kind", "at_us"])
    call_id = "CASE WHEN json_valid(body) THEN json_extract(body, '$.facts.call_id') END"
    op.create_index("audit_entries_by_call", "audit_entries", ["node", sa.text(call_id), "seq"])
