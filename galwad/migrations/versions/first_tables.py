"""Revision 0001: create the first tables of the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables and their database indexes."""
    op.create_table(
        "contacts",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("line", sa.String(length=100), nullable=False),
        sa.Column("advisor", sa.String(length=100), nullable=False),
        sa.Column("extension", sa.String(length=20), nullable=False),
        sa.Column("person_id", sa.String(length=100), nullable=False),
        sa.Column("confirmation", sa.String(length=12), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("outcome", sa.String(length=200), nullable=False),
        sa.Column("caller_type", sa.String(length=20), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=200), nullable=False),
        sa.Column("authority", sa.String(length=200), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )
    with op.batch_alter_table("contacts", schema=None) as batch_op:
        batch_op.create_index("contacts_by_version", ["version", "started"], unique=False)

    op.create_table(
        "people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("do_not_pop", sa.Boolean(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("postcode", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("date_of_birth", sa.String(), nullable=False),
        sa.Column("notes", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
    )
    op.create_table(
        "contact_outbox",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("delivered", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["contacts.call_id"],
        ),
        sa.PrimaryKeyConstraint("call_id", "version"),
    )
    op.create_table(
        "numbers",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("extension", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person_id", "e164", "extension"),
    )
    with op.batch_alter_table("numbers", schema=None) as batch_op:
        batch_op.create_index("numbers_by_e164", ["e164", "extension"], unique=False)

    op.create_table(
        "users",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("extension", sa.String(length=32), nullable=True),
        sa.Column("password", sa.String(length=200), nullable=False),
        sa.Column("ha1_md5", sa.String(length=32), nullable=False),
        sa.Column("ha1_sha256", sa.String(length=64), nullable=False),
        sa.Column("rights", sa.String(length=200), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("extension"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("seen", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_user"), ["user"], unique=False)

    op.create_table(
        "audit_entries",
        sa.Column("node", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "seq"),
    )
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.create_index("audit_entries_by_kind", ["node", "kind", "seq"], unique=False)

    op.create_table(
        "audit_values",
        sa.Column("node", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node", "seq", "name"),
    )
    op.create_table(
        "recordings",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("folder", sa.String(length=100), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("talk_us", sa.BigInteger(), nullable=False),
        sa.Column("interrupted", sa.Boolean(), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("line", sa.String(length=100), nullable=False),
        sa.Column("advisor", sa.String(length=100), nullable=False),
        sa.Column("extension", sa.String(length=20), nullable=False),
        sa.Column("payload_size", sa.BigInteger(), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("unexplained_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.create_index(
            "recordings_by_advisor", ["advisor", "started", "call_id", "talk_us"], unique=False
        )
        batch_op.create_index("recordings_by_length", ["talk_us", "call_id"], unique=False)
        batch_op.create_index(
            "recordings_by_line", ["line", "started", "call_id", "talk_us"], unique=False
        )
        batch_op.create_index(
            "recordings_by_number", ["number", "started", "call_id", "talk_us"], unique=False
        )
        batch_op.create_index(
            "recordings_by_start", ["started", "call_id", "talk_us"], unique=False
        )

    op.create_table(
        "gaps",
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("trigger", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["recordings.call_id"],
        ),
        sa.PrimaryKeyConstraint("call_id", "position"),
    )
    op.create_table(
        "recording_gap_reasons",
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.Column("talk_us", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["recordings.call_id"],
        ),
        sa.PrimaryKeyConstraint("reason", "started", "call_id"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("recording_gap_reasons", schema=None) as batch_op:
        batch_op.create_index("gap_reasons_by_call", ["call_id"], unique=False)

    op.create_table(
        "recording_references",
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("call_id", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["recordings.call_id"],
        ),
        sa.PrimaryKeyConstraint("reference", "call_id"),
    )


def downgrade() -> None:
    """Drop the tables that this revision creates."""
    for table in (
        "recording_references",
        "recording_gap_reasons",
        "gaps",
        "recordings",
        "audit_values",
        "audit_entries",
        "sessions",
        "users",
        "numbers",
        "contact_outbox",
        "people",
        "contacts",
    ):
        op.drop_table(table)
