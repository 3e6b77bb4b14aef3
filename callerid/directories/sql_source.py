"""A directory in a view of a database, and contact notes in a table.

The view has one row for each person. The search is one SELECT with bound parameters. The database
compares the columns with each of the usual spellings of the number, so it can use an index. It also
converts each value to a text and cuts the text, so neither an unusual type nor a huge value reaches
this process.

The table has one row for each version of a note. Rows are only added. So the database's user needs
the right to insert rows, and to read the columns `note_id` and `version`; it cannot read, change or
delete notes. The table's primary key must be these two columns, which keeps two attempts from
adding the same version twice. There is no column for a note that is not finished: its text says so,
and the tables of earlier releases fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    TableClause,
    Unicode,
    cast,
    column,
    func,
    insert,
    literal_column,
    make_url,
    or_,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from callerid.directories.sql_database import SqlAddress, SqlDatabase
from callerid.errors import NoteRefusedError, SourceError, SqlError
from callerid.json_client import tls_context
from callerid.note_destination import EarlierDelivery, OutgoingNote
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleFields, PeopleMapping
from callerid.person import Person
from callerid.spellings import spellings
from callerid.templates import Json

if TYPE_CHECKING:
    from callerid.directories.sql import SqlColumns, SqlDirectorySection, SqlNotesSection

_MOST_ROWS: Final = 501
"""One row more than a directory may find, so that the mapping refuses an answer with more."""
_LONGEST: Final = 2001
"""The most characters of a value, one more than are shown."""
_NO_COLUMN: Final = frozenset({"42703", "SQLITE_ERROR"})
_OPTIONAL: Final = ("language", "kind", "shared", "do_not_pop")
_COLUMNS: Final = (
    *("version", "call_id", "started", "line", "advisor", "person_id", "reference", "purpose"),
    *("purpose_code", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes"),
    *("recording_url", "no_note_reason"),
)
"""The columns beside `note_id`. Councils have tables with these, so a new field adds none."""
_NOT_FINISHED: Final = "Not finished: the advisor did not save this note.\n"
_REFUSED: Final = ("22", "23", "SQLITE_CONSTRAINT")
"""The beginnings of the codes of errors that concern the note, not the database or its settings."""


class SqlDirectory:
    """A directory in a view of `database`, whose connections should be read-only."""

    def __init__(self, section: SqlDirectorySection, database: SqlDatabase) -> None:
        self.name = section.name
        self.has_extensions = section.extensions
        self._section = section
        self._mapping = _mapping(section.columns)
        self._database = database

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number in a usual spelling.

        Raises:
            SourceError: The database cannot be searched, or has more than 500 such people.
        """
        try:
            async with self._database.transaction() as connection:
                result = await connection.execute(select_people(self._section, number))
                rows: list[Json] = [dict(row) for row in result.mappings()]
        except SqlError as error:
            if error.code in _NO_COLUMN:
                await self._name_missing_columns()
            raise
        # In a thread, because many long texts must not delay other work.
        return await asyncio.to_thread(self._mapping.read, rows, self.name)

    async def close(self) -> None:
        """Close the connections to the database."""
        await self._database.close()

    async def _name_missing_columns(self) -> None:
        """Raise a SourceError if the view lacks a column of the settings."""
        wanted = dict.fromkeys(_columns(self._section.columns).values())
        everything: Select[*tuple[Any, ...]] = select(literal_column("*"))
        everything = everything.select_from(_view(self._section.view, ())).limit(0)
        async with self._database.transaction() as connection:
            present = frozenset((await connection.execute(everything)).keys())
        missing = ", ".join(f'"{name}"' for name in wanted if name not in present)
        if missing:
            raise SourceError(f"the view lacks these columns: {missing}")


def select_people(section: SqlDirectorySection, number: PhoneNumber) -> Select[*tuple[Any, ...]]:
    """Return the statement that finds the people with a number."""
    columns = _columns(section.columns)
    view = _view(section.view, columns.values())
    conditions = (view.c[name].in_(spellings(number)) for name in section.columns.numbers)
    return (
        select(*(_text(label, view.c[name]) for label, name in columns.items()))
        .where(or_(*conditions))
        .limit(_MOST_ROWS)
    )


def _columns(section: SqlColumns) -> dict[str, str]:
    """Return the columns by the names that they have in an answer."""
    optional = {name: getattr(section, name) for name in _OPTIONAL}
    return {
        "id": section.id,
        "name": section.name,
        **{f"number{at}": name for at, name in enumerate(section.numbers)},
        **{name: each for name, each in optional.items() if each is not None},
        **{f"detail{at}": name for at, name in enumerate(section.details.values())},
    }


def _mapping(section: SqlColumns) -> PeopleMapping:
    """Return the places of the columns in an answer, which is a list of rows."""
    columns = _columns(section)
    numbers = ", ".join(f"number{at}" for at in range(len(section.numbers)))
    fields = PeopleFields(
        id="id",
        name="name",
        numbers=f"[{numbers}]",
        details={label: f"detail{at}" for at, label in enumerate(section.details)},
        **{name: name for name in _OPTIONAL if name in columns},
    )
    return PeopleMapping("@", fields)


def _view(name: str, columns: Iterable[str]) -> TableClause:
    schema, _, own = name.rpartition(".")
    return table(own, *map(column, dict.fromkeys(columns)), schema=schema or None)


def _text(label: str, value: ColumnElement[Any]) -> ColumnElement[str]:
    """Return a value as a text. PostgreSQL and SQL Server cut it, SQLite needs a function."""
    text: ColumnElement[str] = cast(value, Unicode(_LONGEST))
    if label != "do_not_pop":  # SQLite's function makes a text that begins with NUL empty
        text = func.substring(text, 1, _LONGEST)
    return text.label(label)


class SqlNotes:
    """Adds notes to a table of `database`. `name` is the name of the directory."""

    def __init__(self, name: str, section: SqlNotesSection, database: SqlDatabase) -> None:
        self.name = name
        self._database = database
        schema, _, own = section.table.rpartition(".")
        types = {"started": DateTime(timezone=True)}
        columns = (column(name, types.get(name)) for name in _COLUMNS)
        self._table = table(own, column("note_id"), *columns, schema=schema or None)

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Add a row for this version, unless there is one; return the id of the note.

        Raises:
            NoteRefusedError: The rows of earlier versions were deleted, or the table does not
                accept the row, for example because a text is too long.
            SourceError: The database cannot be used now.
        """
        note_id = str(note.note_id)
        row = _row(note, note_id)
        try:
            async with self._database.transaction() as connection:
                versions = await self._versions(connection, note_id)
                if earlier.version and not versions:
                    raise NoteRefusedError("the rows of the note's earlier versions were deleted")
                if note.version not in versions:
                    await connection.execute(insert(self._table).values(row))
        except SqlError as error:
            if not error.code.startswith(_REFUSED):
                raise
            async with self._database.transaction() as connection:
                versions = await self._versions(connection, note_id)
            if note.version not in versions:  # otherwise, another attempt has added it meanwhile
                reason = f"the table does not accept the note ({error.code})"
                raise NoteRefusedError(reason) from None
        return note_id

    async def close(self) -> None:
        """Close the connections to the database."""
        await self._database.close()

    async def _versions(self, connection: AsyncConnection, note_id: str) -> frozenset[int]:
        """Return the versions of a note that the table has."""
        notes = self._table
        rows = await connection.scalars(select(notes.c.version).where(notes.c.note_id == note_id))
        return frozenset(rows)


def _row(note: OutgoingNote, note_id: str) -> dict[str, object]:
    """Return the values of the columns for a version of a note."""
    row = {name: value for name, value in asdict(note).items() if name in _COLUMNS}
    notes = f"{_NOT_FINISHED}{note.notes}" if note.unfinished else note.notes
    started = datetime.fromtimestamp(note.started, UTC)
    return {**row, "note_id": note_id, "started": started, "notes": notes}


def read_database(section: SqlDirectorySection) -> SqlDatabase:
    """Return the database with the view of these settings. Nothing is connected yet.

    Raises:
        SourceError: A file with a certificate cannot be used, or the driver is not installed.
    """
    return SqlDatabase(
        _address(section),
        access="read",
        timeout_s=section.timeout,
        connections=section.concurrency,
    )


def notes_database(section: SqlDirectorySection, notes: SqlNotesSection) -> SqlDatabase:
    """Return the database with the table of notes, as `read_database` does."""
    address = _address(section)
    if notes.user is not None:
        url = make_url(address.url).set(username=notes.user)
        address = replace(address, url=str(url), password=notes.password_file)
    return SqlDatabase(address, access="write", timeout_s=section.timeout, connections=1)


def _address(section: SqlDirectorySection) -> SqlAddress:
    tls = tls_context(section.tls) if section.has_tls else None
    return SqlAddress(section.url, section.password_file, tls)
