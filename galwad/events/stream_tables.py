"""The database table `stream_events`: the call events that machines can read again."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

stream_events = Table(
    "stream_events",
    metadata,
    # A stream sends the events in the order of this number. The newest row is never removed, so no
    # number is used twice.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("kind", String(12), nullable=False),
    # The JSON document that is sent. It is removed as soon as the event cannot be read again.
    Column("body", Text, nullable=False),
    Column("created", Float, nullable=False),
)
