"""The database tables `users`, `sessions` and `payment_tokens`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, MetaData, String, Table

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(12), nullable=False),
    Column("language", String(2), nullable=False),
    Column("extension", String(32), unique=True),
    Column("password", String(200), nullable=False),
    Column("ha1_md5", String(32), nullable=False),
    Column("ha1_sha256", String(64), nullable=False),
    Column("rights", String(200), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", Float, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column(
        "user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("kind", String(8), nullable=False),
    Column("created", Float, nullable=False),
    Column("seen", Float, nullable=False),
)

payment_tokens = Table(
    "payment_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("call_id", String(24), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("paused", Float),
    Column("released", Float),
)
