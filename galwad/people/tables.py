"""The database tables of users, their identities, sessions, second factors and tokens."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    false,
)

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
    # The code of a team in the list of teams; "" if the user belongs to none.
    Column("team", String(32), nullable=False, server_default=""),
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
    Column("provider", Boolean, nullable=False, server_default=false()),
    # True if the session can only set up a second factor.
    Column("needs_second_factor", Boolean, nullable=False, server_default=false()),
    # The Unix time at which the person has proven the stronger sign-in at the provider.
    Column("stepped_up", Float),
    # The columns below are for tokens. In the session of a person they are empty.
    Column("name", String(40)),
    # None if the token has all rights of its user.
    Column("scopes", String(200)),
    Column("expires", Float),
    Column("created_by", String(80), nullable=False, server_default=""),
    # The network address of the most recent use; "" if the token was never used.
    Column("address", String(64), nullable=False, server_default=""),
    Index("sessions_by_name", "user", "name", unique=True),
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column(
        "user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("created", Float, nullable=False),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    # Encrypted (see `galwad.people.second_factor`).
    Column("secret", String(200), nullable=False),
    # The step of the most recent code that was accepted (RFC 6238, section 5.2).
    Column("last_step", Integer, nullable=False),
    Column("created", Float, nullable=False),
    # The time of the use of a recovery code, until the user has seen the notice of it.
    Column("recovery_used", Float),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column(
        "user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("used", Float),
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
