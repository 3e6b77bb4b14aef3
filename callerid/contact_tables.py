"""The database tables of contact notes, their drafts, and the versions that other systems get."""

from __future__ import annotations

from enum import StrEnum

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
    Text,
    false,
)

metadata = MetaData()

contacts = Table(
    "contacts",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("started", Float, nullable=False),
    Column("line", String(100), nullable=False),
    Column("advisor", String(100), nullable=False),
    Column("extension", String(20), nullable=False),
    Column("person_id", String(100), nullable=False),
    Column("confirmation", String(12), nullable=False),
    Column("version", Integer, nullable=False),
    Column("purpose", String(200), nullable=False),
    Column("language", String(2), nullable=False),
    Column("outcome", String(200), nullable=False),
    Column("caller_type", String(20), nullable=False),
    Column("on_behalf_of", String(200), nullable=False),
    Column("authority", String(200), nullable=False),
    Column("notes", Text, nullable=False),
    # The caller's number is removed as soon as the note is saved.
    Column("number", String(64), nullable=False, server_default=""),
    Column("withheld", Boolean, nullable=False, server_default=false()),
    Column("no_note_reason", String(20), nullable=False, server_default=""),
    # The ids of all entries that the confirmed person has in the directories, as a JSON list.
    Column("entries", Text, nullable=False, server_default="[]"),
    Column("reference", String(2000), nullable=False, server_default=""),
    # When the wrap-up began, in seconds since 1970; 0 if the call has not ended.
    Column("ended", Float, nullable=False, server_default="0"),
    # The name of the confirmed person; removed together with the number.
    Column("name", String(200), nullable=False, server_default=""),
    # True if the desk stored the advisor's draft, because the advisor had not saved the note.
    Column("unfinished", Boolean, nullable=False, server_default=false()),
    # `open_notes` uses this index when the desk starts. The index makes the query fast with any
    # number of notes.
    Index("contacts_by_version", "version", "started"),
    Index("contacts_by_person", "person_id", "started"),
)

drafts = Table(
    "contact_drafts",
    metadata,
    Column("call_id", String(24), ForeignKey("contacts.call_id"), primary_key=True),
    Column("author", String(100), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("window", String(40), nullable=False),
    Column("edit", Integer, nullable=False),
    # The fields of the note, as a JSON object.
    Column("fields", Text, nullable=False),
    Column("saved", Float, nullable=False),
)


class NoteState(StrEnum):
    """The state of one version of a contact note in the outbox."""

    WAITING = "waiting"
    """The version is not delivered yet."""
    DELIVERED = "delivered"
    REFUSED = "refused"
    """The destination does not accept the version. Somebody must decide what to do with it."""
    DISCARDED = "discarded"
    """The version is not to be delivered, or a later version was delivered."""


outbox = Table(
    "contact_outbox",
    metadata,
    Column("call_id", String(24), ForeignKey("contacts.call_id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("payload", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("delivered", Float),
    Column("state", String(12), nullable=False, server_default=NoteState.WAITING.value),
    # The next attempt is not made before this time, in seconds since 1970.
    Column("due", Float, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # True if an attempt was begun whose result is not known.
    Column("uncertain", Boolean, nullable=False, server_default=false()),
    Column("reason", String(300), nullable=False, server_default=""),
    Column("record_id", String(200), nullable=False, server_default=""),
    Index("contact_outbox_by_state", "state", "due"),
)
