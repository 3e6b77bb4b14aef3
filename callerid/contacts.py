"""Contact notes: the notes of the advisors that say who called, and why.

An empty note is created when a call is answered, so that no note is forgotten. The advisor writes
the note later, or says why the call needs none. Until then, the note has the caller's number, so
that the advisor still sees who rang after a restart. Each time the note is saved with changes, it
gets the next version number, starting with 1. In the same database transaction, the new version is
put into the outbox, which is a table of the versions for the CRM. A CRM connector sends the version
to the CRM. While the CRM is down, the version waits in the outbox. A version is identified by call
id and version number, so a repeated delivery does no harm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

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
    Text,
    false,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.card_number import ADVICE, has_card_number
from callerid.errors import ContactError

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
    # `open_notes` uses this index when the desk starts. The index makes the query fast with any
    # number of notes.
    Index("contacts_by_version", "version", "started"),
)

outbox = Table(
    "contact_outbox",
    metadata,
    Column("call_id", String(24), ForeignKey("contacts.call_id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("payload", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("delivered", Float),
)


@dataclass(frozen=True, slots=True)
class Note:
    """The fields of a contact note, as the advisor wrote them.

    If `caller_type` is "self", the caller speaks for no other person. For every other
    `caller_type`, `on_behalf_of` and `authority` must not be empty. If the call needs no note,
    `no_note_reason` says why, such as "wrong_number", and the other fields are empty.
    """

    purpose: str
    language: str
    outcome: str = ""
    caller_type: str = "self"
    on_behalf_of: str = ""
    authority: str = ""
    notes: str = ""
    no_note_reason: str = ""

    @classmethod
    def not_needed(cls, reason: str) -> Note:
        """Return the note of a call that needs no note for this reason."""
        return cls(purpose="", language="", no_note_reason=reason)

    def check(self) -> None:
        """Check that the note has all required fields, and that no field has a card number.

        Each note needs a purpose, unless it says why no note is needed. If a representative calls,
        the note also needs the person for whom the representative speaks, and the authority on
        which the representative speaks.

        Raises:
            ContactError: The message names the missing field, or the field with the card number.
        """
        for name in ("purpose", "outcome", "on_behalf_of", "authority", "notes"):
            if has_card_number(getattr(self, name)):
                raise ContactError(f"{name} seems to contain a payment card number: {ADVICE}")
        if not self.purpose and not self.no_note_reason:
            raise ContactError("the contact note needs a purpose")
        if self.caller_type == "self":
            return
        if not self.on_behalf_of:
            raise ContactError(
                "the contact note needs the name of the person for whom the caller speaks"
            )
        if not self.authority:
            raise ContactError("the contact note needs the authority on which the caller speaks")


@dataclass(frozen=True, slots=True)
class OpenContact:
    """An answered call for which the advisor has not written a contact note yet.

    `number` is the caller's number in E.164 or an internal extension; "" if it is withheld or not
    known. `person_id` is the person whom the advisor has confirmed; "" if there is none.
    """

    call_id: str
    started: float
    line: str
    advisor: str
    extension: str
    number: str = ""
    withheld: bool = False
    person_id: str = ""


@dataclass(frozen=True, slots=True)
class QueuedVersion:
    """One version of a contact note. The CRM has not accepted this version yet.

    `payload` is the version as JSON.
    """

    call_id: str
    version: int
    payload: str


class Contacts:
    """The contact notes in the database. Every method runs as one database transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def open_note(self, contact: OpenContact) -> None:
        """Create the empty contact note of an answered call.

        If the note already exists and is still empty, it gets the advisor, the extension and the
        caller from `contact`. If the note is already written, nothing changes. `person_id` is not
        stored; use `save_confirmation`.
        """
        presented = {"number": contact.number, "withheld": contact.withheld}
        async with self._writer.begin() as connection:
            found = await connection.scalar(
                select(contacts.c.version).where(contacts.c.call_id == contact.call_id)
            )
            if found is None:
                blank = dict.fromkeys(_NOTE_FIELDS, "")
                await connection.execute(
                    insert(contacts).values(
                        call_id=contact.call_id,
                        started=contact.started,
                        line=contact.line,
                        advisor=contact.advisor,
                        extension=contact.extension,
                        person_id="",
                        confirmation="",
                        version=0,
                        **presented,
                        **blank,
                    )
                )
            elif found == 0:
                await connection.execute(
                    update(contacts)
                    .where(contacts.c.call_id == contact.call_id)
                    .values(advisor=contact.advisor, extension=contact.extension, **presented)
                )

    async def save_confirmation(self, call_id: str, person_id: str, confirmation: str) -> None:
        """Save the advisor's answer to the question whether the caller is this person.

        `person_id` is the id of the person, and `confirmation` is the answer: the value of a
        `PopConfirmation`.
        """
        async with self._writer.begin() as connection:
            await connection.execute(
                update(contacts)
                .where(contacts.c.call_id == call_id)
                .values(person_id=person_id, confirmation=confirmation)
            )

    async def forget_confirmation(self, call_id: str) -> None:
        """Remove the answer that `save_confirmation` saved, because the caller has changed."""
        await self.save_confirmation(call_id, "", "")

    async def save(self, call_id: str, note: Note, now: float) -> int:
        """Save a contact note, queue it for the CRM, and return its version number.

        If no field has changed since the note was saved, the note is not queued again, and its
        existing version number is returned. `now` is in seconds since 1970.

        Raises:
            ContactError: The note is incomplete, or the call was never answered.
        """
        note.check()
        fields = {name: getattr(note, name) for name in _NOTE_FIELDS}
        async with self._writer.begin() as connection:
            row = (
                await connection.execute(select(contacts).where(contacts.c.call_id == call_id))
            ).first()
            if row is None:
                raise ContactError("there is no answered call with this id")
            if row.version and all(getattr(row, name) == value for name, value in fields.items()):
                return int(row.version)
            version = int(row.version) + 1
            payload = {
                "call_id": call_id,
                "version": version,
                "started": row.started,
                "line": row.line,
                "advisor": row.advisor,
                "person_id": row.person_id,
                "confirmation": row.confirmation,
                **fields,
            }
            await connection.execute(
                update(contacts)
                .where(contacts.c.call_id == call_id)
                .values(version=version, number="", withheld=False, **fields)
            )
            await connection.execute(
                insert(outbox).values(
                    call_id=call_id,
                    version=version,
                    payload=json.dumps(payload, ensure_ascii=False, sort_keys=True),
                    created=now,
                )
            )
            return version

    async def open_notes(self) -> list[OpenContact]:
        """Return the answered calls whose contact note is not written yet, the oldest first."""
        columns = [contacts.c[name] for name in OpenContact.__dataclass_fields__]
        statement = select(*columns).where(contacts.c.version == 0).order_by(contacts.c.started)
        async with self._engine.connect() as connection:
            return [OpenContact(*row) for row in await connection.execute(statement)]

    async def note(self, call_id: str) -> Note | None:
        """Return the saved contact note of a call; None if the note was never saved."""
        columns = [contacts.c[name] for name in _NOTE_FIELDS]
        statement = select(*columns).where(contacts.c.call_id == call_id, contacts.c.version > 0)
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Note(*row)

    async def pending(self, limit: int = 100) -> list[QueuedVersion]:
        """Return at most `limit` versions that the CRM has not accepted yet, the oldest first."""
        statement = (
            select(outbox.c.call_id, outbox.c.version, outbox.c.payload)
            .where(outbox.c.delivered.is_(None))
            .order_by(outbox.c.created)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [QueuedVersion(*row) for row in await connection.execute(statement)]

    async def mark_delivered(self, call_id: str, version: int, now: float) -> None:
        """Store that the CRM has accepted this version of the call's contact note.

        `now` is the time of the acceptance, in seconds since 1970. If an acceptance of this version
        is already stored, nothing changes.
        """
        async with self._writer.begin() as connection:
            await connection.execute(
                update(outbox)
                .where(
                    outbox.c.call_id == call_id,
                    outbox.c.version == version,
                    outbox.c.delivered.is_(None),
                )
                .values(delivered=now)
            )


_NOTE_FIELDS = tuple(Note.__dataclass_fields__)
