"""The connection to SQLite, on a real file: what it begins, when, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading

import pytest

from galwad.host.sqlite_connection import SqliteConnection


class Counted(SqliteConnection):
    """A connection that counts its calls in the thread."""

    calls = 0

    async def _execute(self, fn, *args, **kwargs):
        self.calls += 1
        return await super()._execute(fn, *args, **kwargs)


@pytest.fixture
async def connection(tmp_path):
    opened = Counted(str(tmp_path / "test.db"), isolation_level=None, timeout=0)
    await opened
    await opened.cursor().execute("CREATE TABLE people (name TEXT PRIMARY KEY)")
    yield opened
    await opened.close()


@pytest.fixture
def other(tmp_path):
    with contextlib.closing(
        sqlite3.connect(tmp_path / "test.db", isolation_level=None, timeout=0)
    ) as opened:
        yield opened


async def names(connection):
    cursor = await connection.cursor().execute("SELECT name FROM people ORDER BY name")
    return [name for (name,) in await cursor.fetchall()]


async def test_a_transaction_is_a_call_for_each_statement_and_one_to_commit(connection, other):
    connection.calls = 0
    connection.begin("BEGIN IMMEDIATE")
    assert await names(connection) == []
    await connection.cursor().executemany("INSERT INTO people VALUES (?)", [("a",), ("b",)])
    assert other.execute("SELECT count(*) FROM people").fetchone() == (0,)
    await connection.commit()
    assert other.execute("SELECT count(*) FROM people").fetchone() == (2,)
    assert connection.calls == 3


async def test_a_transaction_without_a_statement_locks_nothing_and_ends_without_a_call(
    connection, other
):
    connection.calls = 0
    for end in (connection.commit, connection.rollback):
        connection.begin("BEGIN IMMEDIATE")
        other.execute("INSERT OR REPLACE INTO people VALUES ('x')")
        await end()
    assert connection.calls == 0
    await connection.cursor().execute("DELETE FROM people")
    assert not connection.in_transaction


async def test_a_transaction_that_could_not_begin_begins_with_its_next_statement(connection, other):
    connection.begin("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await connection.cursor().execute("INSERT INTO people VALUES ('a')")
    other.execute("ROLLBACK")
    await connection.cursor().execute("INSERT INTO people VALUES ('b')")
    assert connection.in_transaction
    await connection.rollback()
    assert await names(connection) == []


async def test_a_statement_that_fails_leaves_its_transaction_open_until_the_rollback(connection):
    connection.begin("BEGIN")
    await connection.cursor().execute("INSERT INTO people VALUES ('a')")
    with pytest.raises(sqlite3.IntegrityError):
        await connection.cursor().execute("INSERT INTO people VALUES ('a')")
    assert connection.in_transaction
    await connection.rollback()
    assert await names(connection) == []
    assert not connection.in_transaction


async def test_a_cancelled_statement_that_still_waits_is_rolled_back(connection):
    """It must not be executed outside its transaction, where nothing would undo it."""
    busy = threading.Event()
    thread = asyncio.create_task(connection._execute(busy.wait))
    await asyncio.sleep(0)
    connection.begin("BEGIN IMMEDIATE")
    writing = asyncio.create_task(connection.cursor().execute("INSERT INTO people VALUES ('a')"))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await connection.rollback()
    busy.set()
    await thread
    assert await names(connection) == []
    assert not connection.in_transaction


async def test_a_statement_reports_the_number_of_its_rows(connection):
    cursor = connection.cursor()
    assert cursor.rowcount == -1
    await cursor.executemany("INSERT INTO people VALUES (?)", [("a",), ("b",)])
    assert (cursor.rowcount, cursor.description) == (2, None)
    await cursor.execute("SELECT name FROM people")
    assert [column[0] for column in cursor.description] == ["name"]
    assert await cursor.fetchall() == [("a",), ("b",)]
    assert await cursor.fetchall() == []
