"""Contact notes in the desk's database: who called, and why, as the advisors write it.

An empty note is created when a call is answered, so that no note is forgotten. The advisor writes
the note later, or says why the call needs none. Until then, the note has the caller's number and
the name of the confirmed person. So the advisor still sees who rang if the desk has restarted. A
note that is not written is closed some time after the call. The note gets the version number 1 when
it is first saved or closed. Each later change of its text or person gives it the next number. In
the same database transaction, the new version is put into the outbox, from which it is delivered to
the CRM (`galwad.notes.delivery`).

What a user has typed and not saved is a draft, which is stored until the call's note is saved. The
page of one browser window saves its draft again and again. If a draft was changed in another window
since, the save is refused, so that no window overwrites a text that its user has not seen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.errors import ContactError, DraftConflictError
from callerid.note import NOT_WRITTEN, NOTE_FIELDS, Note
from callerid.person import Person, plain_text
from galwad.notes.bodies import EarlierContact
from galwad.notes.rules import NoteDraft, OpenNote, unfinished_note


class NoteState(StrEnum):
    """The state of one version of a contact note in the outbox."""

    WAITING = "waiting"
    """The version is not delivered yet."""
    DELIVERED = "delivered"
    REFUSED = "refused"
    """The destination does not accept the version. A person must decide what to do with it."""
    DISCARDED = "discarded"
    """The version is not to be delivered, or a later version was delivered."""


metadata = MetaData()

notes = Table(
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
    # When the wrap-up began, in seconds since 1970; 0 if it has not begun, or is not known.
    Column("ended", Float, nullable=False, server_default="0"),
    # The name of the confirmed person; removed together with the number.
    Column("name", String(200), nullable=False, server_default=""),
    # True if the desk stored drafts as the note, because no user had saved the note.
    Column("unfinished", Boolean, nullable=False, server_default=false()),
    # True if the person was erased: then nothing is written to the note any more.
    Column("erased", Boolean, nullable=False, server_default=false()),
    # Keeps `open_notes` fast with any number of notes.
    Index("contacts_by_version", "version", "started"),
    Index("contacts_by_person", "person_id", "started"),
    Index("contacts_by_reference", "reference", "started"),
)

# SQLite uses a partial index only for a statement with the same text in its condition.
_FOR_OTHERS = notes.c.on_behalf_of != literal("", literal_execute=True)
"""The condition of the notes about calls on behalf of other people, which are few."""
Index("contacts_on_behalf", notes.c.on_behalf_of, sqlite_where=_FOR_OTHERS)

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
_LONGEST_NAME = 200
_PAYLOAD = (
    *("call_id", "version", "started", "line", "advisor"),
    *("person_id", "entries", "reference", "confirmation"),
    *NOTE_FIELDS,
)
_SAVE_END = update(notes).where(notes.c.call_id == bindparam("own")).values(ended=bindparam("to"))


@dataclass(frozen=True, slots=True)
class ClosedNotes:
    """The numbers of an advisor's notes that the desk closed because they were not saved.

    `not_written` counts notes without any text, `unfinished` counts notes with a draft's text.
    """

    advisor: str
    not_written: int
    unfinished: int


class NoteStore:
    """The contact notes in the database. Every method runs as one database transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def open_note(self, call: OpenNote) -> None:
        """Create the empty contact note of an answered call, or update its advisor and number.

        A written note is not changed. `save_confirmation` saves the person and the name.
        """
        presented = {"number": call.number, "withheld": call.withheld}
        async with self._writer.begin() as connection:
            row = await self._row(connection, call.call_id)
            if row is None:
                blank = {**dict.fromkeys(NOTE_FIELDS, ""), "unfinished": False}
                await connection.execute(
                    insert(notes).values(
                        call_id=call.call_id,
                        started=call.started,
                        line=call.line,
                        advisor=call.advisor,
                        extension=call.extension,
                        ended=call.ended,
                        person_id="",
                        confirmation="",
                        version=0,
                        **presented,
                        **blank,
                    )
                )
            elif row.version == 0 and not row.erased:
                await connection.execute(
                    update(notes)
                    .where(notes.c.call_id == call.call_id)
                    .values(advisor=call.advisor, extension=call.extension, **presented)
                )

    async def save_ends(self, ends: Mapping[str, float]) -> None:
        """Save when the wrap-ups of calls began: for each call id, in seconds since 1970."""
        rows = [{"own": call_id, "to": ended} for call_id, ended in ends.items()]
        async with self._writer.begin() as connection:
            await connection.execute(_SAVE_END, rows)

    async def save_confirmation(
        self, call_id: str, person: Person | None, confirmation: str, now: float
    ) -> None:
        """Save the advisor's answer, a `PopConfirmation`; `person` is None if none is confirmed.

        If the person has changed, a saved note is queued again for the CRM. `now` is in seconds
        since 1970.
        """
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is not None and not row.erased:
                await self._file(connection, row, person, confirmation, now)

    async def add_entries(self, call_id: str, person: Person, now: float) -> None:
        """Save the entries of a call's person. If they have changed, queue a saved note again."""
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is not None and row.person_id == person.person_id and not row.erased:
                await self._file(connection, row, person, row.confirmation, now)

    async def _file(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        person: Person | None,
        confirmation: str,
        now: float,
    ) -> None:
        found = {**_filed_under(person), "confirmation": confirmation}
        if row.version:
            found["name"] = ""
        changed = {name for name, value in found.items() if getattr(row, name) != value}
        if not changed:
            return
        await connection.execute(
            update(notes).where(notes.c.call_id == row.call_id).values(**found)
        )
        if row.version and changed != {"confirmation"}:
            await self._queue(connection, row.call_id, now)

    async def forget_confirmation(self, call_id: str) -> None:
        """Remove the answer that `save_confirmation` saved, because the caller has changed."""
        async with self._writer.begin() as connection:
            await connection.execute(
                update(notes)
                .where(notes.c.call_id == call_id)
                .values(**_filed_under(None), confirmation="")
            )

    async def save(self, call_id: str, note: Note, now: float) -> int:
        """Save a contact note, queue it for the CRM, and return its version number.

        An unchanged note is not queued again and keeps its number. `now` is in Unix seconds. Raises
        `ContactError` if the note is incomplete or has a card number, or if the call was not
        answered.
        """
        note.check()
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is None:
                raise ContactError("there is no answered call with this id")
            if row.erased:
                raise ContactError("the note of this call was erased")
            return await self._store(connection, row, note, now)

    async def close(self, call_id: str, now: float) -> Note | None:
        """Close a note that was not saved in time, and return the note that is stored now.

        Texts of drafts become the note. Without them, a note that was never saved gets the reason
        "not_written". Return None if the note is saved and has no draft, or the call was never
        answered. `now` is in Unix seconds.
        """
        async with self._writer.begin() as connection:
            row = await self._row(connection, call_id)
            if row is None or row.erased:
                return None
            found = await connection.execute(select(drafts).where(drafts.c.call_id == call_id))
            typed = [_draft_of(each) for each in found]
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
            update(notes)
            .where(notes.c.call_id == row.call_id)
            .values(number="", name="", withheld=False, **fields)
        )
        return await self._queue(connection, row.call_id, now)

    @staticmethod
    async def _row(connection: AsyncConnection, call_id: str) -> Row[Any] | None:
        found = await connection.execute(select(notes).where(notes.c.call_id == call_id))
        return found.first()

    async def _queue(self, connection: AsyncConnection, call_id: str, now: float) -> int:
        """Give the note of a call its next version number, and queue this version for the CRM."""
        result = await connection.execute(
            update(notes)
            .where(notes.c.call_id == call_id)
            .values(version=notes.c.version + 1)
            .returning(*(notes.c[name] for name in _PAYLOAD))
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

    async def open_notes(self) -> list[OpenNote]:
        """Return answered calls with an unwritten note or a draft, the oldest first."""
        columns = [notes.c[name] for name in OpenNote.__dataclass_fields__]
        statement = (
            select(*columns)
            .where(
                or_(notes.c.version == 0, notes.c.call_id.in_(select(drafts.c.call_id))),
                ~notes.c.erased,
            )
            .order_by(notes.c.started)
        )
        async with self._engine.connect() as connection:
            return [OpenNote(*row) for row in await connection.execute(statement)]

    async def closed_notes(self, first_id: str) -> list[ClosedNotes]:
        """Return how many notes the desk closed because they were not saved, for each advisor.

        Calls whose id sorts before `first_id` do not count. A call's id begins with its date.
        """
        closed = or_(notes.c.no_note_reason == NOT_WRITTEN, notes.c.unfinished)
        statement = (
            select(
                notes.c.advisor,
                func.count().filter(~notes.c.unfinished),
                func.count().filter(notes.c.unfinished),
            )
            .where(notes.c.call_id >= first_id, closed)
            .group_by(notes.c.advisor)
            .order_by(notes.c.advisor)
        )
        async with self._engine.connect() as connection:
            return [ClosedNotes(*row) for row in await connection.execute(statement)]

    async def note(self, call_id: str) -> Note | None:
        """Return the saved contact note of a call; None if the note was never saved."""
        columns = [notes.c[name] for name in NOTE_FIELDS]
        statement = select(*columns).where(notes.c.call_id == call_id, notes.c.version > 0)
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Note(*row)

    async def earlier(
        self, person_ids: Collection[str], but: str, limit: int
    ) -> list[EarlierContact]:
        """Return at most `limit` written notes filed under a person's entries, the newest first.

        The note of the call `but`, and calls that needed no note, are left out.
        """
        names = ("call_id", "started", "line", "purpose", "outcome", "notes")
        statement = (
            select(*(notes.c[name] for name in names))
            .where(
                notes.c.person_id.in_(person_ids),
                notes.c.person_id != "",
                notes.c.version > 0,
                notes.c.no_note_reason == "",
                notes.c.call_id != but,
            )
            .order_by(notes.c.started.desc(), notes.c.call_id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(statement)
            return [EarlierContact(**row) for row in rows.mappings()]

    async def calls_of(
        self,
        *,
        person_ids: Collection[str] = (),
        reference: str = "",
        number: str = "",
    ) -> dict[str, float]:
        """Return the start (Unix seconds) of each call whose note matches one of these, by call id.

        They are the person's entries in directories, their reference there, and the caller's number
        (only in notes that are not saved). All notes are read for the entries.
        """
        conditions = [
            or_(
                notes.c.person_id.in_(person_ids),
                *(
                    notes.c.entries.contains(json.dumps(each), autoescape=True)
                    for each in person_ids
                ),
            ),
            and_(notes.c.reference == reference, notes.c.reference != ""),
            and_(
                notes.c.version == 0,
                or_(notes.c.number == number, notes.c.number.startswith(f"{number};ext=")),
            ),
        ]
        given = (person_ids, reference, number)
        found: dict[str, float] = {}
        async with self._engine.connect() as connection:
            for value, condition in zip(given, conditions, strict=True):
                if value:
                    matching = select(notes.c.call_id, notes.c.started).where(condition)
                    rows = await connection.execute(matching)
                    found.update((call_id, started) for call_id, started in rows)
        return found

    async def calls_on_behalf_of(self, text: str) -> dict[str, float]:
        """Return the start (Unix seconds) of each call on behalf of a person, by call id.

        `text` is a part of the person's name. Capitals and accents do not matter. All notes about
        calls on behalf of others are read.
        """
        statement = select(notes.c.call_id, notes.c.started, notes.c.on_behalf_of).where(
            _FOR_OTHERS
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        wanted = plain_text(text)
        matching = await asyncio.to_thread(
            lambda: [row for row in rows if wanted in plain_text(row.on_behalf_of)]
        )
        return {row.call_id: row.started for row in matching}

    async def erase(self, call_id: str) -> None:
        """Erase the person, the number and the free texts of a call's note, with its drafts.

        The purpose and the language stay, for the figures. A version that the CRM does not have yet
        is not delivered any more, and nothing can be written to the note.
        """
        empty = dict.fromkeys(("outcome", "on_behalf_of", "authority", "notes", "number"), "")
        values = {**_filed_under(None), "confirmation": "", "withheld": False, "erased": True}
        async with self._writer.begin() as connection:
            await connection.execute(delete(drafts).where(drafts.c.call_id == call_id))
            await connection.execute(
                update(notes).where(notes.c.call_id == call_id).values(**values, **empty)
            )
            waiting = outbox.c.call_id == call_id, outbox.c.state != NoteState.DELIVERED
            await connection.execute(
                update(outbox)
                .where(*waiting)
                .values(state=NoteState.DISCARDED, payload="", reason="erased")
            )

    async def some(self, call_ids: Collection[str]) -> dict[str, tuple[str, Note | None]]:
        """Return the person and the note of each of these calls that was answered, by call id.

        The person is the id of the confirmed person, or "". The note is None if it was never saved.
        """
        names = ("call_id", "person_id", "version", *NOTE_FIELDS)
        statement = select(*(notes.c[name] for name in names)).where(notes.c.call_id.in_(call_ids))
        async with self._engine.connect() as connection:
            return {
                row.call_id: (row.person_id, _note_of(row) if row.version else None)
                for row in await connection.execute(statement)
            }


class NoteDrafts:
    """The drafts of notes in the database. Every method runs as one database transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def save(self, draft: NoteDraft, now: float) -> NoteDraft:
        """Save a draft, and return it with its new version; `now` is in Unix seconds.

        `draft.version` is the newest that its window has seen. A draft equal to the saved note is
        removed, and the returned version is 0.

        Raises:
            ContactError: A field has a card number, or the call was never answered.
            DraftConflictError: Since `draft.version`, another window has changed the draft, or the
                note was saved.
        """
        draft.note.check_cards()
        async with self._writer.begin() as connection:
            columns = (notes.c.version, notes.c.erased, *(notes.c[name] for name in NOTE_FIELDS))
            found = await connection.execute(
                select(*columns).where(notes.c.call_id == draft.call_id)
            )
            saved = found.first()
            if saved is None:
                raise ContactError("there is no answered call with this id")
            if saved.erased:
                raise ContactError("the note of this call was erased")
            current = await self._find(connection, draft)
            known = 0 if current is None else current.version
            if current is not None and current.window == draft.window:
                if draft.edit <= current.edit:
                    return current
            elif draft.version != known:
                raise DraftConflictError("the draft was changed in another window: compare both")
            await connection.execute(delete(drafts).where(_is(draft)))
            if saved.version and Note(*saved[2:]) == draft.note:
                return replace(draft, version=0)
            # A version is never used twice, even if the draft was removed in between.
            newer = replace(draft, version=max(known + 1, int(now * 1000)), saved=now)
            await connection.execute(insert(drafts).values(_columns_of(newer)))
            return newer

    async def discard(self, draft: NoteDraft) -> None:
        """Remove a draft, if the database still has `draft.version`."""
        async with self._writer.begin() as connection:
            await connection.execute(
                delete(drafts).where(_is(draft), drafts.c.version == draft.version)
            )

    async def all(self) -> list[NoteDraft]:
        """Return all drafts."""
        async with self._engine.connect() as connection:
            return [_draft_of(row) for row in await connection.execute(select(drafts))]

    @staticmethod
    async def _find(connection: AsyncConnection, draft: NoteDraft) -> NoteDraft | None:
        row = (await connection.execute(select(drafts).where(_is(draft)))).first()
        return None if row is None else _draft_of(row)


def _note_of(row: Row[Any]) -> Note:
    return Note(*(getattr(row, name) for name in NOTE_FIELDS))


def _filed_under(person: Person | None) -> dict[str, str]:
    return {
        "name": person.name[:_LONGEST_NAME] if person else "",
        "person_id": person.person_id if person else "",
        "entries": json.dumps(person.entries if person else []),
        "reference": person.detail("reference") if person else "",
    }


def _draft_of(row: Row[Any]) -> NoteDraft:
    note = Note.of(json.loads(row.fields))
    return NoteDraft(row.call_id, row.author, row.window, row.edit, note, row.version, row.saved)


def _is(draft: NoteDraft) -> ColumnElement[bool]:
    return and_(drafts.c.call_id == draft.call_id, drafts.c.author == draft.author)


def _columns_of(draft: NoteDraft) -> dict[str, Any]:
    fields = json.dumps(asdict(draft.note), ensure_ascii=False, sort_keys=True)
    plain = ("call_id", "author", "window", "edit", "version", "saved")
    return {"fields": fields, **{name: getattr(draft, name) for name in plain}}
