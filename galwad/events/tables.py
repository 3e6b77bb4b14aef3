"""The database tables `webhook_calls` and `webhook_events`: the outbox of call events."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

webhook_calls = Table(
    "webhook_calls",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("progress", Text, nullable=False),
    Column("ended", Float, nullable=False),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    # The events of a call are sent in the order of this number.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("call_id", String(24), nullable=False),
    Column("kind", String(12), nullable=False),
    # The event in JSON. It is removed as soon as the event is not to be sent any more.
    Column("body", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float, nullable=False),
    # "" while the event waits; then "delivered", "refused" or "dropped".
    Column("outcome", String(10), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("settled", Float, nullable=False),
    Index("webhook_events_by_outcome", "outcome", "call_id", "seq"),
)
