"""Connections to a database, tried with SQLite; and errors, which have no personal data."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing
from urllib.parse import quote

import pytest
from sqlalchemy import text

from callerid.directories.sql_database import SqlAddress, SqlDatabase
from callerid.errors import SqlError
from net.errors import ServerError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pobl %41?mode=memory#.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (name)")
        connection.execute("INSERT INTO people VALUES ('Elin')")
        connection.commit()
    return path


def database(path, access="read", timeout_s=20.0):
    address = SqlAddress(f"sqlite+aiosqlite:///{quote(str(path))}")
    return SqlDatabase(address, access=access, timeout_s=timeout_s, connections=2)


async def run(database, *statements):
    """Run the statements in one transaction, and return the rows of the last one, if any."""
    try:
        async with database.transaction() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
            return result.all() if result.returns_rows else None
    finally:
        await database.close()


async def test_a_database_file_is_read_and_cannot_be_changed(path):
    assert await run(database(path), "SELECT name FROM people") == [("Elin",)]
    with pytest.raises(SqlError, match=r"cannot be written \(SQLITE_READONLY\)"):
        await run(database(path), "DELETE FROM people")
    assert await run(database(path), "SELECT count(*) FROM people") == [(1,)]


async def test_a_transaction_is_committed_unless_a_statement_fails(path):
    await run(database(path, "write"), "INSERT INTO people VALUES ('Owain')")
    with pytest.raises(ServerError):
        await run(database(path, "write"), "DELETE FROM people", "nonsense")
    assert await run(database(path), "SELECT count(*) FROM people") == [(2,)]


@pytest.mark.parametrize("access", ["read", "write"])
async def test_a_missing_file_is_an_error_and_is_not_created(tmp_path, access):
    path = tmp_path / "none.db"
    with pytest.raises(ServerError, match=r"cannot open .*none\.db: No such file or directory"):
        await run(database(path, access), "SELECT 1")
    assert not path.exists()


async def test_a_transaction_after_the_database_file_was_replaced_reads_the_new_file(
    path, tmp_path
):
    reading = database(path)
    async with reading.transaction() as connection:
        assert (await connection.execute(text("SELECT name FROM people"))).all() == [("Elin",)]
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.execute("CREATE TABLE people (name)")
        connection.commit()
    (tmp_path / "new.db").replace(path)
    assert await run(reading, "SELECT name FROM people") == []


async def test_a_statement_that_takes_too_long_is_ended(path):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(SqlError, match=r"the statement took too long \(SQLITE_INTERRUPT\)"):
        await run(database(path, timeout_s=0.1), endless)


async def test_an_error_has_no_text_of_the_statement_or_its_parameters(path):
    with pytest.raises(ServerError) as caught:
        await run(database(path), "SELECT nonsense('Elin')")
    assert str(caught.value) == "the table, the view or a column does not exist (SQLITE_ERROR)"
    assert caught.value.__cause__ is None


async def test_a_file_that_is_not_a_database_is_an_error(tmp_path):
    path = tmp_path / "people.db"
    path.write_text("reference,name,numbers\nP1,Mair Evans,01632 960001\n" * 100)
    with pytest.raises(SqlError) as caught:
        await run(database(path), "SELECT 1 FROM people")
    assert str(caught.value) == "the database reports an error (SQLITE_NOTADB)"


def test_a_driver_that_is_not_installed_is_named():
    url = "mssql+aioodbc://galwad@db.example/crm?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes"
    with pytest.raises(ServerError, match="the Python package aioodbc is not installed"):
        SqlDatabase(SqlAddress(url), access="read", timeout_s=8, connections=2)


async def test_a_server_that_is_down_or_answers_nonsense_is_an_error(tmp_path):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql+asyncpg://galwad@127.0.0.1:{bound.getsockname()[1]}/crm"
        with pytest.raises(ServerError, match="cannot connect to the database"):
            await run(server(url), "SELECT 1")

    async def talk(_reader, writer):
        writer.write(b"HTTP/1.1 400 Mair Evans\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        url = f"postgresql+asyncpg://galwad@127.0.0.1:{port_of(listening)}/crm"
        with pytest.raises(ServerError) as caught:
            await run(server(url), "SELECT 1")
    assert "Mair" not in str(caught.value)


def port_of(listening):
    return listening.sockets[0].getsockname()[1]


def server(url, **more):
    address = SqlAddress(url, **more)
    return SqlDatabase(address, access="read", timeout_s=20, connections=2)


async def test_a_password_file_that_cannot_be_read_is_an_error(tmp_path):
    missing = server("postgresql+asyncpg://galwad@127.0.0.1/crm", password=tmp_path / "none")
    with pytest.raises(ServerError, match=r"cannot read .*none: No such file"):
        await run(missing, "SELECT 1")
