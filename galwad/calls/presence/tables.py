"""The database table `breaks`. It has a row for each user who is on a break."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, String, Table

from galwad.people.store import metadata

breaks = Table(
    "breaks",
    metadata,
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("since", Float, nullable=False),
    Column("set_by", String(64), nullable=False),
)
