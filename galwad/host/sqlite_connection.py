"""A connection to SQLite that needs few changes between the event loop and its thread.

aiosqlite wakes the thread and the event loop for each call of the driver, which takes longer than
most statements. Here a statement is one call, which also begins a transaction and fetches all rows,
and no task waits for a rollback. The calls run in the order in which they were made, so what
follows a rollback sees its effect.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

_Parameters = Sequence[Any]


class SqliteConnection(aiosqlite.Connection):
    """A connection for SQLAlchemy's dialect `sqlite+aiosqlite`. Await it to open it.

    SQLite itself must not begin or commit transactions: set its `isolation_level` to None.
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
        """Roll the transaction back, without waiting for that."""
        if self._begun:
            self._tx.put_nowait((None, self._conn.rollback))
        self._due, self._begun = "", False

    async def run(self, sql: str, parameters: Iterable[Any], *, many: bool) -> Result:
        """Execute a statement, with `many` once for each of `parameters`, and fetch its rows.

        If the transaction could not begin, as when another process writes, the next statement
        begins it.
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
    """A cursor, as SQLAlchemy's dialect uses it. Everything but the execution needs no thread."""

    arraysize = 1
    description: Any = None
    rowcount = -1
    lastrowid: int | None = None

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: _Parameters = ()) -> SqliteCursor:
        """Execute a statement."""
        self._take(await self._connection.run(sql, parameters, many=False))
        return self

    async def executemany(self, sql: str, parameters: Iterable[_Parameters]) -> SqliteCursor:
        """Execute a statement once with each of the parameters."""
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
