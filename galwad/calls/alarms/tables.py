"""The database table `alarms`: each alarm with its handling."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table

metadata = MetaData()

alarms = Table(
    "alarms",
    metadata,
    Column("alarm_id", String(16), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("call_id", String(24)),
    Column("line", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", String(300), nullable=False),
    Column("first", Float, nullable=False),
    Column("latest", Float, nullable=False),
    Column("count", Integer, nullable=False),
    Column("taken_by", String(64), nullable=False),
    Column("taken", Float, nullable=False),
    # 0 while the alarm is not closed. `closed_by` is "" if the alarm ended by itself.
    Column("closed", Float, nullable=False),
    Column("closed_by", String(64), nullable=False),
    Column("remark", String(200), nullable=False),
    Index("alarms_by_closed", "closed"),
)
