"""A directory in a view of a database, and contact notes in a table.

The view has one row for each person. The search is one SELECT with bound parameters. The database
compares the columns with each of the usual spellings of the number, so it can use an index. It also
converts each value to a text and cuts the text, so neither an unusual type nor a huge value reaches
this process. Only in SQLite, `do_not_pop` is not cut.

The table has one row for each version of a note. Rows are only added. So the database's user needs
the right to insert rows and to read the columns `note_id` and `version`, but no right to read,
change or delete notes. The table's primary key must be these two columns, so that two attempts
cannot add the same version twice. If a note is not finished, the text in the column `notes` begins
with this fact: with a column for it, the tables of earlier releases would not fit.

The connections and statements are in `callerid.directories.sql_database`, which imports SQLAlchemy.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from callerid.directories.base import ExternalDirectorySection
from callerid.errors import NoteRefusedError, SqlError
from callerid.note import EarlierDelivery, OutgoingNote
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleFields, PeopleMapping
from callerid.person import Person
from callerid.written_numbers import spellings
from config.fields import FilePath
from config.section import Section, TlsSection
from net.addresses import is_loopback
from net.errors import ServerError

if TYPE_CHECKING:
    from callerid.directories.sql_database import SqlDatabase

_ADDRESS = 'an address such as "postgresql+asyncpg://galwad@db.example/crm"'
_SERVER = re.compile(
    r"(?:postgresql\+asyncpg|mssql\+aioodbc)://[A-Za-z0-9._~%-]+(?P<password>:[^@]*)?"
    r"@(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/[A-Za-z0-9._~%-]+"
    r"(?P<query>\?driver=[A-Za-z0-9+]+&Encrypt=(?:yes|strict))?"
)
_FILE = re.compile(r"sqlite\+aiosqlite:///(?P<path>/[^?#]+)")


def _address(text: str) -> str:
    server = _SERVER.fullmatch(text)
    if server is not None and server["password"] is not None:
        raise ValueError(
            'must have no password: write it into a file, and set "password_file" to its path'
        )
    if server is not None and text.startswith("mssql") != (server["query"] is not None):
        raise ValueError(
            'must end with "?driver=…&Encrypt=yes" for mssql, and have no "?…" otherwise'
        )
    if server is None and _FILE.fullmatch(text) is None:
        raise ValueError(f"must be {_ADDRESS}")
    return text


Address: TypeAlias = Annotated[str, AfterValidator(_address)]
Column: TypeAlias = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
View: TypeAlias = Annotated[
    str, Field(pattern=r"^([^.\x00-\x1f\x7f]{1,128}\.)?[^.\x00-\x1f\x7f]{1,128}$")
]
_COLUMN = "the name of a column, in quotes"


class SqlColumns(Section):
    """`[directories.columns]`: the columns of the view, as the database writes their names."""

    id: Column = Field(description=_COLUMN)
    name: Column = Field(description=_COLUMN)
    numbers: tuple[Column, ...] = Field(
        min_length=1, max_length=10, description='a list of 1 to 10 columns, such as ["phone"]'
    )
    language: Column | None = Field(default=None, description=_COLUMN)
    kind: Column | None = Field(default=None, description=_COLUMN)
    shared: Column | None = Field(default=None, description=_COLUMN)
    do_not_pop: Column | None = Field(default=None, description=_COLUMN)
    details: dict[str, Column] = Field(
        default_factory=dict, description='a table, such as { address = "address_line" }'
    )


class SqlNotesSection(Section):
    """`[directories.contact_notes]`: the table to which contact notes are added."""

    table: View = Field(description='a table, such as "galwad.notes"')
    user: str | None = Field(default=None, min_length=1, description="a user name, in quotes")
    password_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the password of this user"
    )

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError('needs both "user" and "password_file", or neither')
        return self


class SqlDirectorySection(ExternalDirectorySection):
    """`[[directories]]` of the kind "sql"."""

    kind: Literal["sql"] = Field(description='"sql"')
    url: Address = Field(description=_ADDRESS)
    password_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the password"
    )
    view: View = Field(description='a view or table, such as "crm.callers"')
    columns: SqlColumns = Field(description='a table with "id", "name" and "numbers"')
    contact_notes: SqlNotesSection | None = Field(default=None, description='a table with "table"')

    @property
    def host(self) -> str:
        """The host of the database; "" for a file."""
        server = _SERVER.fullmatch(self.url)
        return server["host"].strip("[]") if server is not None else ""

    @property
    def target(self) -> str:
        """The view, and the host or the file of the database."""
        where = self.host or self.url.partition("///")[2]
        return f"SELECT … FROM {self.view} at {where}"  # noqa: S608 - it is only shown

    @property
    def has_tls(self) -> bool:
        """True if Galwad encrypts the connection.

        It encrypts only connections to PostgreSQL. A connection to this machine is encrypted only
        if `tls` is set.
        """
        postgresql = self.url.startswith("postgresql")
        return postgresql and not (is_loopback(self.host) and self.tls == TlsSection())

    def open(self) -> SqlDirectory:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        return SqlDirectory(self, self._database("read", self.concurrency))

    def open_notes(self, zone: tzinfo | None = None) -> SqlNotes | None:
        """Return the destination of contact notes, as `ExternalDirectorySection` says."""
        del zone
        if self.contact_notes is None:
            return None
        database = self._database("write", 1, self.contact_notes)
        return SqlNotes(self.name, self.contact_notes, database)

    def _database(
        self, access: Literal["read", "write"], most: int, notes: SqlNotesSection | None = None
    ) -> SqlDatabase:
        """Return the database with at most `most` connections, for the user in `notes` if set."""
        from callerid.directories.sql_database import (  # noqa: PLC0415 - heavy
            SqlAddress,
            SqlDatabase,
        )

        tls = self.tls.context() if self.has_tls else None
        address = SqlAddress(self.url, self.password_file, tls)
        if notes is not None and notes.user is not None:
            address = address.with_user(notes.user, notes.password_file)
        return SqlDatabase(address, access=access, timeout_s=self.timeout, connections=most)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.tls != TlsSection() and not self.url.startswith("postgresql"):
            raise ValueError('can have "tls" only for postgresql')
        return self


_NO_COLUMN: Final = frozenset({"42703", "SQLITE_ERROR"})
_OPTIONAL: Final = ("language", "kind", "shared", "do_not_pop")
_COLUMNS: Final = (
    *("version", "call_id", "started", "line", "advisor", "person_id", "reference", "purpose"),
    *("purpose_code", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes"),
    *("recording_url", "no_note_reason"),
)
"""The columns beside `note_id`. Councils have tables with these, so no column may be added."""
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
        """Return the people with this number. Raises `ServerError`, also for more than 500."""
        section = self._section
        try:
            rows = await self._database.read_texts(
                section.view,
                columns_of(section.columns),
                section.columns.numbers,
                spellings(number),
            )
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
        wanted = dict.fromkeys(columns_of(self._section.columns).values())
        present = await self._database.columns_of(self._section.view)
        missing = ", ".join(f'"{name}"' for name in wanted if name not in present)
        if missing:
            raise ServerError(f"the view lacks these columns: {missing}")


def columns_of(section: SqlColumns) -> dict[str, str]:
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
    columns = columns_of(section)
    numbers = ", ".join(f"number{at}" for at in range(len(section.numbers)))
    fields = PeopleFields(
        id="id",
        name="name",
        numbers=f"[{numbers}]",
        details={label: f"detail{at}" for at, label in enumerate(section.details)},
        **{name: name for name in _OPTIONAL if name in columns},
    )
    return PeopleMapping("@", fields)


class SqlNotes:
    """Adds notes to a table of `database`. `name` is the name of the directory."""

    def __init__(self, name: str, section: SqlNotesSection, database: SqlDatabase) -> None:
        from callerid.directories.sql_database import VersionsTable  # noqa: PLC0415 - heavy

        self.name = name
        self._database = database
        self._table = VersionsTable(section.table, _COLUMNS)

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Add a row for this version, unless there is one; return the id of the note.

        Raises:
            NoteRefusedError: The rows of earlier versions were deleted, or the table does not
                accept the row, for example because a text is too long.
            ServerError: The database cannot be used now.
        """
        note_id = str(note.note_id)
        row = _row(note, note_id)
        try:
            async with self._database.transaction() as connection:
                versions = await self._table.versions(connection, note_id)
                if earlier.version and not versions:
                    raise NoteRefusedError("the rows of the note's earlier versions were deleted")
                if note.version not in versions:
                    await self._table.add(connection, row)
        except SqlError as error:
            if not error.code.startswith(_REFUSED):
                raise
            async with self._database.transaction() as connection:
                versions = await self._table.versions(connection, note_id)
            if note.version not in versions:  # otherwise, another attempt has added it meanwhile
                reason = f"the table does not accept the note ({error.code})"
                raise NoteRefusedError(reason) from None
        return note_id

    async def close(self) -> None:
        """Close the connections to the database."""
        await self._database.close()


def _row(note: OutgoingNote, note_id: str) -> dict[str, object]:
    row = {name: value for name, value in asdict(note).items() if name in _COLUMNS}
    notes = f"{_NOT_FINISHED}{note.notes}" if note.unfinished else note.notes
    started = datetime.fromtimestamp(note.started, UTC)
    return {**row, "note_id": note_id, "started": started, "notes": notes}
