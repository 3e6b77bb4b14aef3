"""The connections to a database, and the statements of directories and destinations in it.

In this package, only this module imports SQLAlchemy: processes that do not need it import `sql`.

A connection that is broken or was cancelled is never used again. Every failure is a `ServerError`.
Its message never repeats a parameter, a row or a text of the server, which may have personal data.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote

from sqlalchemy import (
    URL,
    ColumnClause,
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

from callerid.errors import CallerIdError, SqlError
from net.authentication import read_secret
from net.errors import ServerError
from net.json_client import Json
from net.tls import certificate_fault

_STATEMENT: Final = 0.9
"""The share of the time limit that a statement gets: the server ends it before Galwad gives up."""
_RECYCLE_S: Final = 300
_KEEPALIVE_S: Final = 60
"""The idle seconds after which PostgreSQL checks a connection: firewalls forget idle ones."""
_STEPS: Final = 10_000
"""The steps of SQLite's virtual machine after which it checks the time limit."""
_MOST_ROWS: Final = 501
"""One row more than a directory may find, so that the mapping refuses an answer with more."""
_LONGEST: Final = 2001
"""The most characters of a value that are read, one more than are shown."""
_REASONS: Final = {
    "28P01": "the server refuses the user or the password",
    "28000": "the server refuses the user or the kind of connection",
    "3D000": "the server has no such database",
    "42501": "the user lacks a right on the table or view",
    "42P01": "the table or view does not exist",
    "42703": "a column does not exist",
    "42883": "the type of a searched column is not text",
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
    tls: ssl.SSLContext | None = None
    """The TLS settings for PostgreSQL; None if Galwad does not encrypt the connection."""

    def with_user(self, user: str, password: Path | None) -> Self:
        """Return the address of the same database for another user."""
        return replace(self, url=str(make_url(self.url).set(username=user)), password=password)


class SqlDatabase:
    """The connections to one database. A server gets at most `connections` at a time.

    With `access` "read", PostgreSQL and SQLite refuse statements that change anything. In both,
    `timeout_s` limits the time of a statement. Raises `ServerError` if the driver is not installed.
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
            raise ServerError(f"the Python package {error.name} is not installed") from None

        @event.listens_for(self._engine.sync_engine, "do_connect")
        def add_password(dialect: Any, _record: Any, args: Any, named: Any) -> None:
            args[:], known = dialect.create_connect_args(
                self._engine.url.set(password=self._password)
            )
            named.update(known)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection with a transaction, which is committed at the end.

        Raises `SqlError` if the database refuses a statement, `ServerError` if it cannot be
        reached.
        """
        if self._file is not None:
            await asyncio.to_thread(_check_file, self._file)
        if self._password_file is not None:  # in a thread, because its disk may hang
            self._password = await asyncio.to_thread(read_secret, self._password_file)
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (CallerIdError, ServerError):
            raise
        except Exception as error:  # noqa: BLE001 - each driver has errors of its own
            raise _failure(error) from None

    async def read_texts(
        self, view: str, columns: Mapping[str, str], sought: Iterable[str], texts: Collection[str]
    ) -> list[Json]:
        """Return the rows of a view that `select_texts` finds. Raises as `transaction` does."""
        async with self.transaction() as connection:
            result = await connection.execute(select_texts(view, columns, sought, texts))
            return [dict(row) for row in result.mappings()]

    async def columns_of(self, view: str) -> frozenset[str]:
        """Return the names of a view's columns. Raises as `transaction` does."""
        everything: Select[*tuple[Any, ...]] = select(literal_column("*"))
        everything = everything.select_from(_table(view)).limit(0)
        async with self.transaction() as connection:
            return frozenset((await connection.execute(everything)).keys())

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _check_file(path: Path) -> None:
    """Raise a ServerError if a file does not open: the driver would leave a thread behind."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise ServerError(f"cannot open {path}: {error.strerror}") from None


def _server(
    address: SqlAddress, access: Literal["read", "write"], timeout_s: float, connections: int
) -> AsyncEngine:
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
    """Return an engine that opens the file for each transaction: a new file may replace it."""
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


def _failure(error: Exception) -> ServerError:
    """Return an error without the parts of the driver's error that may have personal data."""
    if fault := certificate_fault(error):
        return ServerError(f"the server's certificate is not accepted: {fault}")
    cause: BaseException | None = error
    while cause is not None:
        code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        if isinstance(code, str):
            return SqlError(f"{_REASONS.get(code, 'the database reports an error')} ({code})", code)
        if isinstance(cause, TimeoutError):
            return ServerError("the database does not answer in time")
        if isinstance(cause, OSError):
            return ServerError("cannot connect to the database")
        cause = cause.__cause__ or cause.__context__
    return ServerError(f"the database cannot be used: {type(error).__name__}")


def select_texts(
    view: str, columns: Mapping[str, str], sought: Iterable[str], texts: Collection[str]
) -> Select[*tuple[Any, ...]]:
    """Return the statement that finds the rows with one of `texts` in a searched column.

    Args:
        view: The name of the view, with its schema if it needs one.
        columns: The columns that are read as texts, by the names that they have in a result.
        sought: The names of the searched columns.
        texts: The whole values that are searched for.
    """
    source = _table(view, *map(column, dict.fromkeys(columns.values())))
    return (
        select(*(_text(label, source.c[name]) for label, name in columns.items()))
        .where(or_(*(source.c[name].in_(texts) for name in sought)))
        .limit(_MOST_ROWS)
    )


def _table(name: str, *columns: ColumnClause[Any]) -> TableClause:
    schema, _, own = name.rpartition(".")
    return table(own, *columns, schema=schema or None)


def _text(label: str, value: ColumnElement[Any]) -> ColumnElement[str]:
    """Return a value as a text that is cut, except `do_not_pop` in SQLite.

    SQLite ignores the length in the cast, so a function cuts the text there.
    """
    text: ColumnElement[str] = cast(value, Unicode(_LONGEST))
    if label != "do_not_pop":  # SQLite's function makes a text that begins with NUL empty
        text = func.substring(text, 1, _LONGEST)
    return text.label(label)


class VersionsTable:
    """A table with a row for each version of a note, to which rows are only added.

    `columns` are its columns beside `note_id`.
    """

    def __init__(self, name: str, columns: Iterable[str]) -> None:
        types = {"started": DateTime(timezone=True)}
        wanted = (column(each, types.get(each)) for each in ("note_id", *columns))
        self._table = _table(name, *wanted)

    async def versions(self, connection: AsyncConnection, note_id: str) -> frozenset[int]:
        """Return the versions of a note that the table has."""
        notes = self._table
        rows = await connection.scalars(select(notes.c.version).where(notes.c.note_id == note_id))
        return frozenset(rows)

    async def add(self, connection: AsyncConnection, row: Mapping[str, object]) -> None:
        """Add a row. `row` has the values by the names of their columns."""
        await connection.execute(insert(self._table).values(row))
