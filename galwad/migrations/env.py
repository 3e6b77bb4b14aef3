"""Alembic's environment, which runs the revisions.

The revisions use the database connection that `galwad.desk.database` gives to Alembic.
"""

from __future__ import annotations

from alembic import context

from callerid.contact_tables import metadata as callerid_metadata
from galwad.desk.alarms.tables import metadata as alarms_metadata
from galwad.desk.call_log.tables import metadata as call_log_metadata
from galwad.desk.call_stream.tables import metadata as call_stream_metadata
from galwad.desk.presence import tables as presence
from galwad.desk.texts.tables import metadata as texts_metadata
from galwad.desk.webhooks.tables import metadata as webhooks_metadata
from galwad.people.tables import metadata as desk_metadata
from recording.audit import log as audit_log
from recording.index import captured_cards, custody, ledger
from recording.index.catalogue import metadata as recording_metadata

# These modules are imported because each import adds the module's tables to one of the objects in
# `METADATA`.
TABLE_MODULES = (audit_log, captured_cards, custody, ledger, presence)
METADATA = [
    alarms_metadata,
    callerid_metadata,
    call_log_metadata,
    call_stream_metadata,
    desk_metadata,
    recording_metadata,
    texts_metadata,
    webhooks_metadata,
]

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    # SQLite supports transactional DDL, but Alembic's default for SQLite is False
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
