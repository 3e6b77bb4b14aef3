"""The database tables `logged_calls` and `logged_parts`: the log of calls."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

logged_calls = Table(
    "logged_calls",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("started", Float, nullable=False),
    Column("answered", Float, nullable=False),
    Column("ended", Float, nullable=False),
    Column("line", String(100), nullable=False),
    Column("outgoing", Boolean, nullable=False),
    Column("internal", Boolean, nullable=False),
    # The number is removed after some hours: see `CallLog`.
    Column("number", String(64), nullable=False),
    Column("withheld", Boolean, nullable=False),
    Column("advisor", String(64), nullable=False),
    Column("extension", String(64), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("transfers", Integer, nullable=False),
    Column("destination", String(20), nullable=False),
    Column("talk_us", BigInteger, nullable=False),
    Column("pauses", Integer, nullable=False),
    Column("paused_us", BigInteger, nullable=False),
    Column("gaps", Integer, nullable=False),
    Column("language", String(2), nullable=False),
    Index("logged_calls_by_start", "started"),
    Index("logged_calls_by_number", "number", "started"),
    # Finds the calls that have not ended.
    Index("logged_calls_by_end", "ended"),
)

logged_parts = Table(
    "logged_parts",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", String(6), nullable=False),
    Column("user", String(64), nullable=False),
    Column("extension", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("destination", String(20), nullable=False),
    Column("result", String(10), nullable=False),
    Index("logged_parts_by_user", "user", "at"),
)
