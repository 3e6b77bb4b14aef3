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

A connection that is broken or was cancelled is never used again. Every failure is a `SourceError`.
Its message never repeats a parameter, a row or a text of the server, which may have personal data.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import (
    URL,
    ColumnElement,
    DateTime,
    Select,
    TableClause,
    Unicode,
    cast,
    column,
    event,
    func,
    insert,
    literal_column,
    make_url,
    or_,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from callerid.authentication import read_secret
from callerid.errors import CallerIdError, NoteRefusedError, SourceError, SqlError
from callerid.json_client import tls_context
from callerid.note import EarlierDelivery, OutgoingNote
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleFields, PeopleMapping
from callerid.person import Person
from callerid.templates import Json
from callerid.written_numbers import spellings

_STATEMENT: Final = 0.9
"""The part of the time limit that a statement has, so that the server ends it before we do."""
_RECYCLE_S: Final = 300
_KEEPALIVE_S: Final = 60
"""The idle time after which the server checks a connection. Firewalls forget idle connections."""
_STEPS: Final = 10_000
"""The steps of SQLite's virtual machine between two looks at the clock."""
_REASONS: Final = {
    "28P01": "the server refuses the user or the password",
    "28000": "the server refuses the user or the kind of connection",
    "3D000": "the server has no such database",
    "42501": "the user lacks a right on the table or view",
    "42P01": "the table or view does not exist",
    "42703": "a column does not exist",
    "42883": "a column that is compared is not a text",
    "53300": "the server has too many connections",
    "57014": "the statement took too long",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_ERROR": "the table, the view or a column does not exist",
    "SQLITE_INTERRUPT": "the statement took too long",
    "SQLITE_READONLY": "the file cannot be written",
}
"""The meaning of usual SQLSTATEs (PostgreSQL, appendix A) and result codes of SQLite."""


@dataclass(frozen=True, slots=True)
class SqlAddress:
    """A database, and how to connect to it."""

    url: str
    """The address for SQLAlchemy, without a password."""
    password: Path | None = None
    """The file with the password; None if there is none."""
    tls: ssl.SSLContext | None = None
    """The TLS settings for PostgreSQL; None if the connection is not encrypted."""


class SqlDatabase:
    """The connections to one database, at most `connections` at a time.

    With `access` "read", no statement may change anything, as far as the database can prevent it.
    `timeout_s` limits a statement and a new connection. Raises `SourceError` if the driver is not
    installed.
    """

    def __init__(
        self,
        address: SqlAddress,
        *,
        access: Literal["read", "write"],
        timeout_s: float,
        connections: int,
    ) -> None:
        self._password_file = address.password
        self._password: str | None = None
        self._file: Path | None = None
        url = make_url(address.url)
        try:
            if url.get_backend_name() == "sqlite":
                self._file = Path(url.database or "")
                self._engine = _sqlite(url, access, timeout_s)
            else:
                self._engine = _server(address, access, timeout_s, connections)
        except ModuleNotFoundError as error:
            raise SourceError(f"the Python package {error.name} is not installed") from None

        @event.listens_for(self._engine.sync_engine, "do_connect")
        def add_password(dialect: Any, _record: Any, args: Any, named: Any) -> None:
            args[:], known = dialect.create_connect_args(
                self._engine.url.set(password=self._password)
            )
            named.update(known)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection with a transaction, which is committed at the end.

        Raises `SqlError` if the database refuses a statement, `SourceError` if it cannot be
        reached.
        """
        if self._file is not None:
            await asyncio.to_thread(_check_file, self._file)
        if self._password_file is not None:  # in a thread, because its disk may hang
            self._password = await asyncio.to_thread(read_secret, self._password_file)
        try:
            async with self._engine.begin() as connection:
                yield connection
        except CallerIdError:
            raise
        except Exception as error:  # noqa: BLE001 - each driver has errors of its own
            raise _failure(error) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _check_file(path: Path) -> None:
    """Check that a database's file opens, or raise SourceError; the driver would leave a thread."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise SourceError(f"cannot open {path}: {error.strerror}") from None


def _server(
    address: SqlAddress, access: Literal["read", "write"], timeout_s: float, connections: int
) -> AsyncEngine:
    """Return an engine with a pool of connections to a server."""
    url = make_url(address.url)
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        arguments = {
            "ssl": address.tls or False,
            "timeout": timeout_s,
            "server_settings": {
                "application_name": "galwad",
                "statement_timeout": str(round(timeout_s * _STATEMENT * 1000)),
                "idle_in_transaction_session_timeout": str(round(timeout_s * 1000)),
                "tcp_keepalives_idle": str(_KEEPALIVE_S),
                **({"default_transaction_read_only": "on"} if access == "read" else {}),
            },
        }
    return create_async_engine(
        url,
        connect_args=arguments,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
        hide_parameters=True,
    )


def _sqlite(url: URL, access: Literal["read", "write"], timeout_s: float) -> AsyncEngine:
    """Return an engine that opens the file for each transaction, because it may be replaced."""
    mode = "ro" if access == "read" else "rw"
    file = url.set(
        database=f"file:{quote(url.database or '')}", query={"mode": mode, "uri": "true"}
    )
    limit_s = timeout_s * _STATEMENT
    engine = create_async_engine(
        file, connect_args={"timeout": limit_s}, poolclass=NullPool, hide_parameters=True
    )

    @event.listens_for(engine.sync_engine, "connect")
    def limit_time(connection: Any, _record: Any) -> None:
        end = time.monotonic() + limit_s
        connection.run_async(
            lambda file: file.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        )

    return engine


def _failure(error: Exception) -> SourceError:
    """Return an error without the parts of the driver's error that may have personal data."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return SourceError(f"the server's certificate is not accepted: {cause.verify_message}")
        code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        if isinstance(code, str):
            return SqlError(f"{_REASONS.get(code, 'the database refuses')} ({code})", code)
        if isinstance(cause, TimeoutError):
            return SourceError("the database does not answer in time")
        if isinstance(cause, OSError):
            return SourceError("cannot connect to the database")
        cause = cause.__cause__ or cause.__context__
    return SourceError(f"the database cannot be used: {type(error).__name__}")


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
        """Return the people with this number; raise SourceError if there are more than 500."""
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
    """Return the unconnected database with the view of these settings. Raises `SourceError`."""
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
