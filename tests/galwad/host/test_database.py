"""The database: the revisions make the declared tables, and transactions wait for each other.

The connection to SQLite, on a real file: what it begins, when, and in which order.

Covers `galwad/people/store.py` and `recording/index/tables.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from galwad.archive.disclosures import metadata as disclosures_metadata
from galwad.calls.alarms.store import metadata as alarms_metadata
from galwad.calls.log.store import metadata as call_log_metadata
from galwad.cases.store import metadata as cases_metadata
from galwad.events.outbox import metadata as webhooks_metadata
from galwad.events.stream import metadata as call_stream_metadata
from galwad.host.database import SqliteConnection, open_engine, upgrade
from galwad.notes.store import metadata as notes_metadata
from galwad.people.store import metadata as desk_metadata
from galwad.texts.store import metadata as texts_metadata
from helpers.database import open_patiently
from recording.audit import log as audit_log
from recording.index import custody, ledger
from recording.index.catalogue import metadata as recording_metadata

TABLE_MODULES = (audit_log, custody, ledger)


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings(
    "ignore:autogenerate skipping metadata-specified expression-based index"
)
def test_the_revisions_create_exactly_the_declared_tables(tmp_path):
    path = tmp_path / "desk" / "galwad.db"
    upgrade(path)
    upgrade(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        metadata = [
            alarms_metadata,
            cases_metadata,
            disclosures_metadata,
            notes_metadata,
            call_log_metadata,
            call_stream_metadata,
            desk_metadata,
            recording_metadata,
            texts_metadata,
            webhooks_metadata,
        ]
        # Alembic takes a list too, as its own `env.py` templates say.
        assert compare_metadata(context, metadata) == []  # type: ignore[arg-type]
    engine.dispose()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_connection_uses_wal_full_sync_and_foreign_keys(tmp_path):
    path = tmp_path / "galwad.db"
    upgrade(path)
    engine = open_engine(path)
    async with engine.connect() as connection:
        for pragma, value in (
            ("journal_mode", "wal"),
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("busy_timeout", 5000),
        ):
            found = await connection.exec_driver_sql(f"PRAGMA {pragma}")
            assert found.scalar_one() == value
    await engine.dispose()


async def test_transactions_that_read_before_they_write_wait_for_each_other(tmp_path):
    path = tmp_path / "galwad.db"
    upgrade(path)
    engine = open_patiently(path)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE counter (value INTEGER)")
        await connection.exec_driver_sql("INSERT INTO counter VALUES (0)")

    async def count():
        async with engine.execution_options(immediate=True).begin() as connection:
            value = (await connection.exec_driver_sql("SELECT value FROM counter")).scalar_one()
            await asyncio.sleep(0)
            await connection.exec_driver_sql("UPDATE counter SET value = ?", (value + 1,))

    await asyncio.gather(*(count() for _ in range(20)))
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT value FROM counter")
        assert found.scalar_one() == 20
    await engine.dispose()


async def test_transactions_that_write_begin_in_the_order_of_their_requests(tmp_path):
    path = tmp_path / "galwad.db"
    upgrade(path)
    engine = open_engine(path)
    order = []

    async def write(number):
        async with engine.execution_options(immediate=True).begin() as connection:
            order.append(number)
            await asyncio.sleep(0.01)
            await connection.exec_driver_sql("UPDATE users SET name = name")

    # A task that waits for a new connection is not in the queue yet, so all five are opened before.
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(5):
            await opened.enter_async_context(engine.connect())
    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(write(number)))
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    assert order == list(range(5))
    await engine.dispose()


async def test_a_transaction_that_waited_too_long_fails_and_later_transactions_are_written(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("galwad.host.database._TURN_S", 0.05)
    path = tmp_path / "galwad.db"
    upgrade(path)
    engine = open_engine(path)
    writer = engine.execution_options(immediate=True)
    async with writer.begin():
        with pytest.raises(SQLAlchemyError, match="the database is locked"):
            async with writer.begin():
                pytest.fail("a second transaction had its turn")
        async with engine.connect() as reader:
            await reader.exec_driver_sql("SELECT count(*) FROM users")
    for _ in range(2):
        async with writer.begin() as connection:
            await connection.exec_driver_sql("UPDATE users SET name = name")
    await engine.dispose()


async def test_a_transaction_that_is_cancelled_while_it_waits_does_not_delay_the_next_transaction(
    tmp_path,
):
    path = tmp_path / "galwad.db"
    upgrade(path)
    engine = open_engine(path)
    writer = engine.execution_options(immediate=True)

    async def write():
        async with writer.begin() as connection:
            await connection.exec_driver_sql("UPDATE users SET name = name")

    async with writer.begin():
        waiting = [asyncio.create_task(write()) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in done] == [asyncio.CancelledError, type(None), type(None)]
    await engine.dispose()


async def is_locked(engine):
    """Return whether no write transaction can begin within the connections' time limit."""
    try:
        async with engine.execution_options(immediate=True).begin() as connection:
            await connection.exec_driver_sql("SELECT 1")
            return False
    except OperationalError:
        return True


async def test_a_cancelled_transaction_does_not_keep_the_database_locked(tmp_path):
    """Without a garbage collection, SQLite would keep the lock of an unfinished SELECT."""
    path = tmp_path / "galwad.db"
    upgrade(path)
    other = open_engine(path)

    async def work(engine):
        async with engine.execution_options(immediate=True).begin() as connection:
            for _ in range(50):
                await connection.exec_driver_sql("SELECT 1 UNION SELECT 2")
                await connection.exec_driver_sql("UPDATE users SET name = name")

    gc.disable()
    try:
        for attempt in range(60):
            engine = open_engine(path)
            async with engine.connect():  # the task is not to be cancelled while it connects
                pass
            task = asyncio.create_task(work(engine))
            await asyncio.sleep(attempt * 0.0002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await engine.dispose()
            assert not await is_locked(other), f"attempt {attempt}"
    finally:
        gc.enable()
        await other.dispose()


async def test_a_connection_whose_task_is_cancelled_while_it_opens_is_closed(tmp_path):
    """From Python 3.13 on, a connection that was not closed raises a ResourceWarning."""
    path = tmp_path / "galwad.db"
    upgrade(path)
    for turns in range(1, 12):
        engine = open_engine(path)
        task = asyncio.create_task(_read(engine))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await engine.dispose()
    gc.collect()
    assert _open_files(path) == 0


async def _read(engine):
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def _open_files(path):
    """Return how many file descriptors of this process are open for `path`."""
    opened = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of this listing
            opened += descriptor.readlink() == path
    return opened


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


async def test_a_transaction_makes_one_thread_call_for_each_statement_and_one_to_commit(
    connection, other
):
    connection.calls = 0
    connection.begin("BEGIN IMMEDIATE")
    assert await names(connection) == []
    await connection.cursor().executemany("INSERT INTO people VALUES (?)", [("a",), ("b",)])
    assert other.execute("SELECT count(*) FROM people").fetchone() == (0,)
    await connection.commit()
    assert other.execute("SELECT count(*) FROM people").fetchone() == (2,)
    assert connection.calls == 3


async def test_a_transaction_without_a_statement_locks_nothing_and_makes_no_thread_call(
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
