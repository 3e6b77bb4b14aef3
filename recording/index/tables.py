"""The SQL tables of the index of recordings, and the `metadata` that other tables share."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

recordings = Table(
    "recordings",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("folder", String(100), nullable=False),
    Column("started", Float, nullable=False),
    Column("talk_us", BigInteger, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("number", String(64)),
    Column("line", String(100), nullable=False),
    Column("advisor", String(100), nullable=False),
    Column("extension", String(20), nullable=False),
    Column("payload_size", BigInteger, nullable=False),
    Column("payload_sha256", String(64), nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("unexplained_us", BigInteger, nullable=False),
    Column("raw_size", BigInteger, nullable=False, server_default="0"),
    # The salt of the commitments in the manifest, in hexadecimal; empty if the manifest has no
    # commitments, or if the row has no personal facts.
    Column("salt", String(64), nullable=False, server_default=""),
    # Most searches read one of the first five database indices backwards: from the newest recording
    # on, as in a result, so nothing is sorted. These indices contain the talk time, so a search by
    # talk time reads only the rows that match.
    Index("recordings_by_start", "started", "call_id", "talk_us"),
    Index("recordings_by_number", "number", "started", "call_id", "talk_us"),
    Index("recordings_by_advisor", "advisor", "started", "call_id", "talk_us"),
    Index("recordings_by_extension", "extension", "started", "call_id", "talk_us"),
    Index("recordings_by_line", "line", "started", "call_id", "talk_us"),
    Index("recordings_by_length", "talk_us", "call_id"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("reason", String(20), nullable=False),
    Column("trigger", String(20), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger, nullable=False),
)

# The callers whom a trunk has named during a call, after the call's first caller.
later_callers = Table(
    "later_callers",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("from_us", BigInteger, nullable=False),
    Column("number", String(64)),
    Column("withheld", Boolean, nullable=False),
    Index("later_callers_by_number", "number", "call_id"),
)

# The parties that got a call at the advisor's end after the first one.
later_advisors = Table(
    "later_advisors",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("from_us", BigInteger, nullable=False),
    Column("advisor", String(100), nullable=False),
    Column("extension", String(100), nullable=False),
    Index("later_advisors_by_advisor", "advisor", "call_id"),
    Index("later_advisors_by_extension", "extension", "call_id"),
)

# Searches by gap reason read this table, which has the order of a result. It repeats `talk_us` and
# `line`, because these searches often filter by them too. So a search reads from `recordings` only
# the rows of its result.
gap_reasons = Table(
    "recording_gap_reasons",
    metadata,
    Column("reason", String(20), primary_key=True),
    Column("started", Float, primary_key=True),
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("talk_us", BigInteger, nullable=False),
    Column("line", String(100), nullable=False),
    Index("gap_reasons_by_call", "call_id"),
    sqlite_with_rowid=False,
)

networks = Table(
    "recording_networks",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("channel", String(20), primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("loss_bursts", BigInteger, nullable=False),
    Column("longest_loss", BigInteger, nullable=False),
    Column("jitter_us", BigInteger, nullable=False),
    Column("jitter_most_us", BigInteger, nullable=False),
    Column("mos", Float),
)

references = Table(
    "recording_references",
    metadata,
    Column("reference", String(200), primary_key=True),
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
)

# Searches by flag read this table, which has the order of a result, as `gap_reasons` has.
flags = Table(
    "recording_flags",
    metadata,
    Column("flag", String(20), primary_key=True),
    Column("started", Float, primary_key=True),
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("reason", String(200), nullable=False),
    Column("since", Float, nullable=False),
    Index("recording_flags_by_call", "call_id"),
    sqlite_with_rowid=False,
)

# The legal holds. Each is a case for which recordings are retained, until two people release it.
legal_holds = Table(
    "legal_holds",
    metadata,
    Column("hold_id", Integer, primary_key=True),
    Column("reference", String(200), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("owner", String(100), nullable=False),
    # The day on which the owner checks whether the hold is still needed, such as "2027-06-01".
    Column("review", String(10), nullable=False),
    # Each later call of this number is retained, too. It is erased when the hold is released.
    Column("number", String(64)),
    Column("opened", Float, nullable=False),
    Column("released", Float),
    # Counts the changes, so that a change does not overwrite that of another person.
    Column("version", Integer, nullable=False),
    Index("legal_holds_by_number", "number"),
)

# Searches by hold read this table, which has the order of a result, as `gap_reasons` has.
retentions = Table(
    "recording_holds",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("hold_id", Integer, ForeignKey("legal_holds.hold_id"), primary_key=True),
    Column("started", Float, nullable=False),
    Column("since", Float, nullable=False),
    Column("released", Float),
    # Until then a released recording is not disposed of because its term is over.
    Column("kept_until", Float),
    Index("recording_holds_by_hold", "hold_id", "released", "started", "call_id"),
)

# The requests to release a hold, or one of its recordings, that wait for a second person.
hold_releases = Table(
    "hold_releases",
    metadata,
    Column("hold_id", Integer, ForeignKey("legal_holds.hold_id"), primary_key=True),
    # "" if the whole hold is to be released.
    Column("call_id", String(24), primary_key=True),
    Column("asked_by", String(100), nullable=False),
    Column("reason", String(200), nullable=False),
)

# Until when recordings are kept, by the rules of retention.
terms = Table(
    "recording_terms",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("category", String(40), nullable=False),
    # None if people alone decide when the recording is disposed of.
    Column("due", Float),
    Column("version", Integer, nullable=False),
    Index("recording_terms_by_due", "due", "call_id", "category"),
)
