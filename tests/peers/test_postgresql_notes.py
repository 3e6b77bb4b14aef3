"""Contact notes are added to a table of a real PostgreSQL, each once, whatever happens between.

Tests callerid/destinations/sql.py with a server, and a role that can only add notes.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from callerid.destinations.sql import SqlNotes
from callerid.errors import NoteRefusedError, SourceError, SqlError
from callerid.note_destination import EarlierDelivery
from callerid.sql_database import SqlAddress, SqlDatabase
from helpers.notes import NOTE as PLAIN
from helpers.peers.postgresql import PostgreSql

pytestmark = pytest.mark.peer

NOTES = 200
CRASHES = {50, 150, 250}
"""The server crashes after so many deliveries."""
PASSWORD = "for notes"
TABLE = f"""
CREATE SCHEMA galwad;
CREATE TABLE galwad.notes (
    note_id text NOT NULL,
    version integer NOT NULL,
    call_id text NOT NULL,
    started timestamptz NOT NULL,
    line text NOT NULL,
    advisor text NOT NULL,
    person_id text NOT NULL,
    reference text NOT NULL,
    purpose text NOT NULL,
    purpose_code varchar(20) NOT NULL,
    language text NOT NULL,
    outcome text NOT NULL,
    caller_type text NOT NULL,
    on_behalf_of text NOT NULL,
    authority text NOT NULL,
    notes text NOT NULL,
    recording_url text NOT NULL,
    no_note_reason text NOT NULL,
    PRIMARY KEY (note_id, version)
);
CREATE ROLE galwad_notes LOGIN PASSWORD '{PASSWORD}';
GRANT USAGE ON SCHEMA galwad TO galwad_notes;
GRANT INSERT, SELECT (note_id, version) ON galwad.notes TO galwad_notes;
"""
NOTE = replace(PLAIN, started=1_790_000_000.5, notes="'); DROP TABLE galwad.notes; -- $1 tŷ ŵyr")
FIRST = EarlierDelivery()


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL with a table for notes, and a role that can only add them."""
    server = PostgreSql()
    server.sql(TABLE)
    yield server
    server.end()


@pytest.fixture
async def database(server, tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    address = SqlAddress(f"postgresql+asyncpg://galwad_notes@127.0.0.1:{server.port}/crm", password)
    database = SqlDatabase(address, access="write", timeout_s=9.0, connections=4)
    yield database
    await database.close()


@pytest.fixture
def destination(server, database):
    server.sql("DELETE FROM galwad.notes")
    return SqlNotes("crm", "galwad.notes", database)


def rows(server, columns="count(*), count(DISTINCT note_id)"):
    return server.sql(f"SELECT {columns} FROM galwad.notes")


async def test_a_note_is_stored_with_its_texts_and_its_time(server, destination):
    assert await destination.deliver(NOTE, FIRST) == str(NOTE.note_id)
    stored = rows(server, "version, notes, extract(epoch FROM started) = 1790000000.5")
    assert stored == [f"1|{NOTE.notes}|t"]


async def test_the_role_can_neither_read_nor_change_nor_delete_a_note(
    server, destination, database
):
    await destination.deliver(NOTE, FIRST)
    for statement in (
        "SELECT notes FROM galwad.notes",
        "UPDATE galwad.notes SET version = 2",
        "DELETE FROM galwad.notes",
        "TRUNCATE galwad.notes",
    ):
        with pytest.raises(SqlError, match=r"the user lacks a right .*\(42501\)"):
            await run(database, statement)
    assert rows(server) == ["1|1"]


async def run(database, statement):
    async with database.transaction() as connection:
        await connection.execute(text(statement))


async def test_two_attempts_at_the_same_time_add_one_row(server, destination):
    for at in range(10):
        note = replace(NOTE, call_id=f"at-once-{at}")
        await asyncio.gather(*(destination.deliver(note, FIRST) for _ in range(4)))
    assert rows(server) == ["10|10"]


async def test_a_text_that_is_too_long_is_refused_and_a_missing_right_is_not(server, destination):
    long = replace(NOTE, purpose_code="x" * 21)
    with pytest.raises(NoteRefusedError, match=r"does not accept the note \(22001\)"):
        await destination.deliver(long, FIRST)
    server.sql("REVOKE INSERT ON galwad.notes FROM galwad_notes")
    with pytest.raises(SqlError, match=r"\(42501\)"):
        await destination.deliver(NOTE, FIRST)
    server.sql("GRANT INSERT ON galwad.notes TO galwad_notes")
    await destination.deliver(NOTE, FIRST)
    assert rows(server) == ["1|1"]


async def test_notes_that_are_delivered_twice_while_the_server_crashes_are_there_once(
    server, destination
):
    failures = 0
    todo = iter([at for at in range(NOTES) for _ in range(2)])
    delivered = 0

    async def deliver():
        """Deliver until nothing is left, and try again after a failure, as an outbox does."""
        nonlocal failures, delivered
        for at in todo:
            note, earlier = replace(NOTE, call_id=f"call-{at}"), FIRST
            while True:
                try:
                    await destination.deliver(note, earlier)
                except SourceError:
                    failures += 1
                    earlier = EarlierDelivery(uncertain=True)
                    await asyncio.sleep(0.05)
                else:
                    delivered += 1
                    break
            if delivered in CRASHES:  # while the others wait for their rows
                server.kill()
                await asyncio.to_thread(server.begin)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(deliver())
    assert delivered == 2 * NOTES
    assert failures >= 3
    assert rows(server) == [f"{NOTES}|{NOTES}"]
