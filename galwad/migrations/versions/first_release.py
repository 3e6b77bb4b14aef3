"""Revision 0025: create all tables and indexes of the first release."""

from __future__ import annotations

from alembic import op

from galwad.migrations.bridge import FIRST_RELEASE

revision = "0025"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and indexes that the database does not have yet."""
    connection = op.get_bind()
    for statement in FIRST_RELEASE.split(";\n"):
        connection.exec_driver_sql(statement)
