"""The desk's database: functions that open it and upgrade its schema.

The database is SQLite in WAL mode, and each commit waits until the data is on the disk. SQLAlchemy,
and not Python's SQLite driver, begins and ends the transactions. If an engine has the execution
option `immediate`, each of its transactions takes the write lock with its first statement. A
transaction that first reads and then writes needs this option. The values in SQL statements never
appear in a log or in an exception's text.

SQLite gives its write lock to whichever connection tries at the right moment, so on a busy machine
one transaction can wait for seconds while later ones write. Therefore the transactions with
`immediate` of one engine take turns in the order in which they began.

aiosqlite wakes a connection's thread and the event loop for each call of the driver, which takes
longer than most statements. With `SqliteConnection`, one call begins a transaction, executes a
statement and fetches all rows. No task waits for a rollback. The calls run in the order in which
they were made, so a statement after a rollback sees its effect.

A revision is one step from an older schema to a newer schema. All missing revisions run in one
transaction, with the bridge from the revisions before the first release. So after an interrupted
upgrade, the database has either the old or the new schema, and the next start of the desk continues
from that schema.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import aiosqlite
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from galwad.migrations import bridge

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA secure_delete = ON",
)
_TURN_S = 5.0
"""The longest time in seconds that a transaction waits for earlier transactions that write."""
_OTHERS_S = 20.0
"""The seconds to wait while another process upgrades the database.

This time is less than the 30 s that systemd gives the desk to start.
"""


class SchemaError(Exception):
    """The database's schema cannot be upgraded to the version that this software needs.

    The database was not changed. `hint` says what the operator must do.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def open_engine(path: Path) -> AsyncEngine:
    """Return an engine for the database file at `path`, which `upgrade` has created."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "connect", _prepare)
    queue = _WriterQueue()
    event.listen(engine.sync_engine, "begin", queue.begin)
    event.listen(engine.sync_engine, "checkin", queue.end)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    event.listen(engine.sync_engine, "invalidate", queue.end)
    return engine


class _WriterQueue:
    """Lets the writing transactions of one engine begin one after the other, in order."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._writing: object | None = None
        """The driver's connection whose transaction has its turn."""

    def begin(self, connection: sqlalchemy.Connection) -> None:
        """Let the next statement begin a transaction.

        A transaction that writes first waits for earlier writers. Raises SQLAlchemy's
        `TimeoutError` if it waited for `_TURN_S` seconds.
        """
        if _writes(connection):
            driver = connection.connection.dbapi_connection
            if driver is not None:
                driver.run_async(lambda _: self._take_turn())
            self._writing = driver
        opened: SqliteConnection = connection.connection.driver_connection  # type: ignore[assignment]
        opened.begin(_statement_to_begin(connection))

    def end(self, driver: object | None, *_: object) -> None:
        """Let the next transaction that writes begin, if the turn was this connection's."""
        if driver is not None and driver is self._writing:
            self._writing = None
            self._lock.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._lock.acquire()
        except TimeoutError:
            raise PoolTimeoutError("the database is locked") from None


def _connect(
    dialect: Dialect, _record: object, arguments: Sequence[Any], settings: Mapping[str, Any]
) -> DBAPIConnection:
    """Open a connection. Close it if the task is cancelled meanwhile: aiosqlite leaves it open."""
    opening = greenlet_spawn(
        dialect.loaded_dbapi.connect, *arguments, async_creator_fn=SqliteConnection, **settings
    )
    return await_only(_opened(opening))


async def _opened(opening: Coroutine[Any, Any, DBAPIConnection]) -> DBAPIConnection:
    task = asyncio.create_task(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await greenlet_spawn((await task).close)
        raise


def _roll_back(connection: Any, _record: object, _error: BaseException | None) -> None:
    """End the transaction of an invalid connection, such as after its task was cancelled.

    Otherwise SQLite keeps its locks until Python's next garbage collection finalizes the statement,
    and no other connection can write.
    """
    with suppress(sqlite3.Error):  # the connection is closed in any case
        connection.rollback()


def _prepare(connection: Any, record: object) -> None:
    _leave_transactions_to_sqlalchemy(connection, record)
    # Without `closing`, the database file would stay open after a failed PRAGMA until the next
    # garbage collection.
    with closing(connection.cursor()) as cursor:
        for pragma in _PRAGMAS:
            cursor.execute(pragma)


def _begin(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql(_statement_to_begin(connection))


def _statement_to_begin(connection: sqlalchemy.Connection) -> str:
    return "BEGIN IMMEDIATE" if _writes(connection) else "BEGIN"


def _writes(connection: sqlalchemy.Connection) -> bool:
    return bool(connection.get_execution_options().get("immediate", False))


class SqliteConnection(aiosqlite.Connection):
    """A connection for SQLAlchemy's dialect `sqlite+aiosqlite`. Await it to open it.

    Python's SQLite driver must not begin transactions itself: set `isolation_level` to None.
    """

    def __init__(self, path: str, **settings: Any) -> None:
        super().__init__(partial(sqlite3.connect, path, **settings), iter_chunk_size=64)
        self._thread.daemon = True  # as SQLAlchemy does it for aiosqlite's own connections
        self._due = ""
        """The statement that begins a transaction, while it is not executed yet."""
        self._begun = False
        """True from the first statement of a transaction to its end."""

    def begin(self, statement: str) -> None:
        """Let the next statement begin a transaction, with `statement` such as "BEGIN"."""
        self._due = statement

    def cursor(self) -> SqliteCursor:  # type: ignore[override]
        """Return a cursor."""
        return SqliteCursor(self)

    async def commit(self) -> None:
        """Commit the transaction. If it has no statement, there is nothing to commit."""
        if self._begun:
            await super().commit()
        self._due, self._begun = "", False

    async def rollback(self) -> None:
        """Start to roll the transaction back; return before this is done."""
        if self._begun:
            self._tx.put_nowait((None, self._conn.rollback))
        self._due, self._begun = "", False

    async def run(self, sql: str, parameters: Iterable[Any], *, many: bool) -> Result:
        """Execute a statement and fetch its rows.

        With `many`, each element of `parameters` has the parameters of one execution.
        If the transaction could not begin, because another process writes for example, the next
        statement tries again to begin it.
        """
        begin, self._due = self._due, ""
        self._begun = self._begun or bool(begin)
        try:
            result: Result = await self._execute(  # type: ignore[no-untyped-call]
                Result, self._conn, begin, sql, parameters, many
            )
        except sqlite3.Error:
            if begin and not self.in_transaction:
                self._due, self._begun = begin, False
            raise
        return result


class Result:
    """A statement that was executed in the connection's thread, and its rows."""

    __slots__ = ("description", "lastrowid", "rowcount", "rows")

    def __init__(
        self,
        connection: sqlite3.Connection,
        begin: str,
        sql: str,
        parameters: Iterable[Any],
        many: bool,  # noqa: FBT001 - it is called through a queue of positional arguments
    ) -> None:
        if begin:
            connection.execute(begin).close()
        cursor = connection.cursor()
        try:
            (cursor.executemany if many else cursor.execute)(sql, parameters)  # type: ignore[arg-type]
            self.description = cursor.description
            self.rows: list[Any] = cursor.fetchall() if cursor.description else []
            self.rowcount = cursor.rowcount
            self.lastrowid = cursor.lastrowid
        finally:
            # SQLite holds its locks until each statement has ended.
            cursor.close()


class SqliteCursor:
    """A cursor for SQLAlchemy's dialect. Only the execution uses the connection's thread."""

    arraysize = 1
    description: Any = None
    rowcount = -1
    lastrowid: int | None = None

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> SqliteCursor:
        """Execute a statement."""
        self._take(await self._connection.run(sql, parameters, many=False))
        return self

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> SqliteCursor:
        """Execute a statement once with each sequence in `parameters`."""
        self._take(await self._connection.run(sql, parameters, many=True))
        return self

    def _take(self, result: Result) -> None:
        self.description, self._rows = result.description, result.rows
        self.rowcount, self.lastrowid = result.rowcount, result.lastrowid

    async def fetchall(self) -> list[Any]:
        """Return the rows that were not fetched yet."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Do nothing: the statement has ended."""


@cache
def revisions() -> tuple[str, ...]:
    """Return the ids of all schema revisions that this version of Galwad knows.

    They are sorted from old to new. `upgrade` upgrades a database to the last one.
    """
    newest_first = ScriptDirectory.from_config(_config()).walk_revisions()
    return (*bridge.REPLACED, *reversed([each.revision for each in newest_first]))


def upgrade(path: Path) -> None:
    """Upgrade the database's schema to the newest version; block the thread until this is done.

    If the file is missing, it is created with the mode 0600.

    Raises:
        SchemaError: The database is from a later version, or cannot be used.
        OSError: The folder or a file cannot be created.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
    patient = {"timeout": _OTHERS_S}
    engine = create_engine(f"sqlite:///{path}", connect_args=patient, hide_parameters=True)
    event.listen(engine, "connect", _leave_transactions_to_sqlalchemy)
    event.listen(engine, "begin", _begin)
    try:
        if not _is_newest(engine, path):
            _run_revisions(engine)
    except (SQLAlchemyError, sqlite3.Error) as error:
        # The text of SQLite's own error, such as "database is locked", may be shown, because it
        # contains no value from the database.
        sqlites_own = error if isinstance(error, sqlite3.Error) else getattr(error, "orig", None)
        cause = sqlites_own or type(error).__name__
        raise SchemaError(
            f"cannot upgrade the database {path}: {cause}", "run `galwad check`"
        ) from None
    finally:
        engine.dispose()


def _is_newest(engine: Engine, path: Path) -> bool:
    """Return whether the schema is the newest; raise SchemaError if Galwad does not know it."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = revisions()
    if found is not None and found not in known:
        raise SchemaError(
            f"{path} is from a later version of Galwad",
            "install that version again: the database was not changed",
        )
    return found == known[-1]


def _run_revisions(engine: Engine) -> None:
    """Run the missing schema revisions in one transaction; a second process waits at its BEGIN."""
    with engine.execution_options(immediate=True).connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "galwad:migrations")
    return config


def _leave_transactions_to_sqlalchemy(connection: Any, _record: object) -> None:
    """Keep Python's SQLite driver from beginning transactions before INSERT, UPDATE and DELETE."""
    connection.isolation_level = None
