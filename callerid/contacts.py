"""Contact notes: the notes of the advisors that say who called, and why.

An empty note is created when a call is answered, so that no note is forgotten. The advisor writes
the note later, or says why the call needs none. Until then, the note has the caller's number and
the name of the confirmed person, so that the advisor still sees who rang after a restart. A note
that is never written is closed in the end. Each time the note is saved with changes, it
gets the next version number, starting with 1. In the same database transaction, the new version is
put into the outbox, from which it is delivered to the CRM (`callerid.note_outbox`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.contact_tables import contacts, drafts, outbox
from callerid.errors import ContactError
from callerid.note import NOT_WRITTEN, NOTE_FIELDS, Note
from callerid.note_drafts import draft_of, unfinished_note
from callerid.person import Person

_SAVE_END = (
    update(contacts).where(contacts.c.call_id == bindparam("own")).values(ended=bindparam("to"))
)


@dataclass(frozen=True, slots=True)
class OpenContact:
    """An answered call for which the advisor has not written a contact note yet.

    `number` is the caller's number in E.164 or an internal extension; "" if it is withheld or not
    known. `person_id` and `name` are the person whom the advisor has confirmed; "" if there is
    none. `ended` is the time at which the wrap-up began, in seconds since 1970; 0 if the call has
    not ended, or its end is not known.
    """

    call_id: str
    started: float
    line: str
    advisor: str
    extension: str
    number: str = ""
    withheld: bool = False
    person_id: str = ""
    name: str = ""
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class ClosedNotes:
    """The numbers of an advisor's notes that the desk closed because they were not saved."""

    advisor: str
    not_written: int
    """The notes without any text."""
    unfinished: int
    """The notes that have the text of a draft."""


@dataclass(frozen=True, slots=True)
class EarlierContact:
    """The written note of an earlier call of a person. `started` is in seconds since 1970."""

    call_id: str
    started: float
    line: str
    purpose: str
    outcome: str
    notes: str


class Contacts:
    """The contact notes in the database. Every method runs as one database transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def open_note(self, contact: OpenContact) -> None:
        """Create the empty contact note of an answered call.

        If the note already exists and is still empty, it gets the advisor, the extension and the
        caller from `contact`. If the note is already written, nothing changes. `person_id` and
        `name` are not stored; use `save_confirmation`.
        """
        presented = {"number": contact.number, "withheld": contact.withheld}
        async with self._writer.begin() as connection:
            found = await connection.scalar(
                select(contacts.c.version).where(contacts.c.call_id == contact.call_id)
            )
            if found is None:
                blank = {**dict.fromkeys(NOTE_FIELDS, ""), "unfinished": False}
                await connection.execute(
                    insert(contacts).values(
                        call_id=contact.call_id,
                        started=contact.started,
                        line=contact.line,
                        advisor=contact.advisor,
                        extension=contact.extension,
                        ended=contact.ended,
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

    async def save_ends(self, ends: Mapping[str, float]) -> None:
        """Save when the wrap-ups of calls began: for each call id, in seconds since 1970."""
        rows = [{"own": call_id, "to": ended} for call_id, ended in ends.items()]
        async with self._writer.begin() as connection:
            await connection.execute(_SAVE_END, rows)

    async def save_confirmation(
        self, call_id: str, person: Person | None, confirmation: str, now: float
    ) -> None:
        """Save the advisor's answer to the question whether the caller is this person.

        `person` is None if the caller is another person, and `confirmation` is the answer: the
        value of a `PopConfirmation`. If a note is already saved, it is queued again for the CRM, to
        be filed under this person. `now` is in seconds since 1970.
        """
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is not None:
                await self._file(connection, row, person, confirmation, now)

    async def add_entries(self, call_id: str, person: Person, now: float) -> None:
        """Save that further directories have the confirmed person of a call.

        If a note is already saved, it is queued again for the CRM.
        """
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is not None and row.person_id == person.person_id:
                await self._file(connection, row, person, row.confirmation, now)

    async def _file(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        person: Person | None,
        confirmation: str,
        now: float,
    ) -> None:
        """File the note `row` under a person."""
        found = {**_filed_under(person), "confirmation": confirmation}
        if row.version:
            found["name"] = ""
        changed = {name for name, value in found.items() if getattr(row, name) != value}
        if not changed:
            return
        await connection.execute(
            update(contacts).where(contacts.c.call_id == row.call_id).values(**found)
        )
        if row.version and changed != {"confirmation"}:
            await self._queue(connection, row.call_id, now)

    async def forget_confirmation(self, call_id: str) -> None:
        """Remove the answer that `save_confirmation` saved, because the caller has changed."""
        async with self._writer.begin() as connection:
            await connection.execute(
                update(contacts)
                .where(contacts.c.call_id == call_id)
                .values(**_filed_under(None), confirmation="")
            )

    async def save(self, call_id: str, note: Note, now: float) -> int:
        """Save a contact note, queue it for the CRM, and return its version number.

        If no field has changed since the note was saved, the note is not queued again, and its
        existing version number is returned. `now` is in seconds since 1970.

        Raises:
            ContactError: The note is incomplete, or the call was never answered.
        """
        note.check()
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is None:
                raise ContactError("there is no answered call with this id")
            return await self._store(connection, row, note, now)

    async def close(self, call_id: str, now: float) -> Note | None:
        """Close a note that was not saved in time, and return the note that is stored now.

        A draft becomes the note as it is. Without a draft, the reason "not_written" is stored in
        place of the note. Return None if the note is saved, or the call was never answered. `now`
        is in seconds since 1970.
        """
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is None:
                return None
            found = await connection.execute(select(drafts).where(drafts.c.call_id == call_id))
            typed = [draft_of(each) for each in found]
            if row.version and not typed:
                return None
            note = unfinished_note(row.advisor, typed)
            if note is None:
                note = _note_of(row) if row.version else Note.not_needed(NOT_WRITTEN)
            await self._store(connection, row, note, now)
            return note

    async def _store(
        self, connection: AsyncConnection, row: Row[Any], note: Note, now: float
    ) -> int:
        """Store a note, remove its drafts, and return the note's version number."""
        await connection.execute(delete(drafts).where(drafts.c.call_id == row.call_id))
        if row.version and _note_of(row) == note:
            return int(row.version)
        fields = {name: getattr(note, name) for name in NOTE_FIELDS}
        await connection.execute(
            update(contacts)
            .where(contacts.c.call_id == row.call_id)
            .values(number="", name="", withheld=False, **fields)
        )
        return await self._queue(connection, row.call_id, now)

    @staticmethod
    async def _row(connection: AsyncConnection, call_id: str) -> Row[Any] | None:
        found = await connection.execute(select(contacts).where(contacts.c.call_id == call_id))
        return found.first()

    async def _queue(self, connection: AsyncConnection, call_id: str, now: float) -> int:
        """Give the note of a call its next version number, and queue this version for the CRM."""
        result = await connection.execute(
            update(contacts)
            .where(contacts.c.call_id == call_id)
            .values(version=contacts.c.version + 1)
            .returning(*(contacts.c[name] for name in _PAYLOAD))
        )
        row = result.one()
        payload = dict(row._mapping)  # noqa: SLF001 - public, in spite of its name
        await connection.execute(
            insert(outbox).values(
                call_id=call_id,
                version=row.version,
                payload=json.dumps(payload, ensure_ascii=False, sort_keys=True),
                created=now,
            )
        )
        return int(row.version)

    async def open_notes(self) -> list[OpenContact]:
        """Return the answered calls whose contact note must still be saved, the oldest first.

        These are the notes that are not written, and those that have a draft.
        """
        columns = [contacts.c[name] for name in OpenContact.__dataclass_fields__]
        statement = (
            select(*columns)
            .where(or_(contacts.c.version == 0, contacts.c.call_id.in_(select(drafts.c.call_id))))
            .order_by(contacts.c.started)
        )
        async with self._engine.connect() as connection:
            return [OpenContact(*row) for row in await connection.execute(statement)]

    async def closed_notes(self, first_id: str) -> list[ClosedNotes]:
        """Return how many notes the desk closed because they were not saved, for each advisor.

        Calls whose id sorts before `first_id` do not count. A call's id begins with its date.
        """
        closed = or_(contacts.c.no_note_reason == NOT_WRITTEN, contacts.c.unfinished)
        statement = (
            select(
                contacts.c.advisor,
                func.count().filter(~contacts.c.unfinished),
                func.count().filter(contacts.c.unfinished),
            )
            .where(contacts.c.call_id >= first_id, closed)
            .group_by(contacts.c.advisor)
            .order_by(contacts.c.advisor)
        )
        async with self._engine.connect() as connection:
            return [ClosedNotes(*row) for row in await connection.execute(statement)]

    async def note(self, call_id: str) -> Note | None:
        """Return the saved contact note of a call; None if the note was never saved."""
        columns = [contacts.c[name] for name in NOTE_FIELDS]
        statement = select(*columns).where(contacts.c.call_id == call_id, contacts.c.version > 0)
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Note(*row)

    async def earlier(
        self, person_ids: Collection[str], but: str, limit: int
    ) -> list[EarlierContact]:
        """Return the written notes that are filed under a person, the newest first.

        `person_ids` are the ids of the person's entries in directories. The note of the call `but`
        is left out, and so are calls that needed no note.
        """
        columns = [contacts.c[name] for name in EarlierContact.__dataclass_fields__]
        statement = (
            select(*columns)
            .where(
                contacts.c.person_id.in_(person_ids),
                contacts.c.person_id != "",
                contacts.c.version > 0,
                contacts.c.no_note_reason == "",
                contacts.c.call_id != but,
            )
            .order_by(contacts.c.started.desc(), contacts.c.call_id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [EarlierContact(*row) for row in await connection.execute(statement)]


def _note_of(row: Row[Any]) -> Note:
    return Note(*(getattr(row, name) for name in NOTE_FIELDS))


def _filed_under(person: Person | None) -> dict[str, str]:
    """Return the columns that say under which person a note is filed."""
    return {
        "name": person.name[:_LONGEST_NAME] if person else "",
        "person_id": person.person_id if person else "",
        "entries": json.dumps(person.entries if person else []),
        "reference": person.detail("reference") if person else "",
    }


_LONGEST_NAME = 200
_PAYLOAD = (
    *("call_id", "version", "started", "line", "advisor"),
    *("person_id", "entries", "reference", "confirmation"),
    *NOTE_FIELDS,
)
