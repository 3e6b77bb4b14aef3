"""Alembic's environment, which runs the revisions.

It uses the database connection that `galwad.desk.database` passes.
"""

from __future__ import annotations

from alembic import context

from callerid import contacts
from callerid.directory import metadata as callerid_metadata
from galwad.desk.auth.tables import metadata as desk_metadata
from recording.audit import log as audit_log
from recording.index import custody, ledger
from recording.index.catalogue import metadata as recording_metadata

# These modules are imported because each adds its tables to its package's metadata on import.
TABLE_MODULES = (contacts, audit_log, custody, ledger)
METADATA = [callerid_metadata, desk_metadata, recording_metadata]

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite can do this, but Alembic assumes that it cannot
)
with context.begin_transaction():
    context.run_migrations()
