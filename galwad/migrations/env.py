"""Alembic's environment, which runs the revisions.

The revisions use the database connection that `galwad.host.database` gives to Alembic.
"""

from __future__ import annotations

from alembic import context

from galwad.migrations import bridge

connection = context.config.attributes["connection"]
# SQLite supports transactional DDL, but Alembic's default for SQLite is False.
context.configure(connection=connection, transactional_ddl=True)
with context.begin_transaction():
    bridge.cross(connection)
    context.run_migrations()
