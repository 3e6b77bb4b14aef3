"""Contact notes are added to a table of a real PostgreSQL, each once, whatever happens between.

Tests callerid/directories/sql.py with the table, the role and the settings
of docs/crm/sql.md.
"""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import replace

import pytest
from sqlalchemy import text

from callerid.directories.sql import SqlDirectorySection, SqlNotes, SqlNotesSection
from callerid.directories.sql_database import SqlAddress, SqlDatabase
from callerid.errors import NoteRefusedError, SqlError
from callerid.note import EarlierDelivery
from helpers.notes import NOTE as PLAIN
from helpers.peers.crm_tables import PASSWORD, PEOPLE, SETTINGS, TABLE, directory_settings
from helpers.peers.postgresql import PostgreSql
from helpers.peers.waiting import wait_until
from net.errors import ServerError

pytestmark = pytest.mark.peer

NOTES = 200
CRASHES = {50, 150, 250}
"""The server crashes after so many deliveries."""
NOTE = replace(PLAIN, started=1_790_000_000.5, notes="'); DROP TABLE galwad.notes; -- $1 tŷ ŵyr")
FIRST = EarlierDelivery()


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL with a table for notes, and a role that can only add them."""
    server = PostgreSql()
    server.sql(TABLE + PEOPLE)
    yield server
    server.end()


@pytest.fixture
async def database(server, tmp_path):
    """The connections of the role for notes."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    url = f"postgresql+asyncpg://galwad_notes@127.0.0.1:{server.port}/crm"
    database = SqlDatabase(SqlAddress(url, password), access="write", timeout_s=9.0, connections=4)
    yield database
    await database.close()


@pytest.fixture
def destination(server, database):
    server.sql("DELETE FROM galwad.notes")
    return SqlNotes("crm", SqlNotesSection(table="galwad.notes"), database)


def rows(server, columns="count(*), count(DISTINCT note_id)"):
    return server.sql(f"SELECT {columns} FROM galwad.notes")


async def test_a_note_is_stored_with_its_text_and_the_start_of_the_call(server, destination):
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


async def test_the_settings_of_the_documentation_deliver_to_its_table(
    server, destination, tmp_path
):
    notes = tomllib.loads(SETTINGS)["directories"]["contact_notes"]
    section = SqlDirectorySection.model_validate(
        {
            "name": "crm",
            "kind": "sql",
            "url": f"postgresql+asyncpg://galwad@127.0.0.1:{server.port}/crm",
            "view": "callers",
            "columns": {"id": "id", "name": "name", "numbers": ["phone"]},
            "contact_notes": {**notes, "password_file": str(tmp_path / "password")},
        }
    )
    opened = section.open_notes()
    assert opened is not None
    record = await opened.deliver(NOTE, FIRST)
    await opened.deliver(replace(NOTE, version=2, notes="Ring back"), EarlierDelivery(1, record))
    await opened.close()
    assert server.sql("SELECT version, notes FROM galwad.latest_notes") == ["2|Ring back"]
    assert rows(server) == ["2|1"]


async def test_two_attempts_at_the_same_time_add_one_row(server, destination):
    for at in range(10):
        note = replace(NOTE, call_id=f"at-once-{at}")
        await asyncio.gather(*(destination.deliver(note, FIRST) for _ in range(4)))
    assert rows(server) == ["10|10"]


async def test_a_text_that_is_too_long_is_refused_and_a_missing_right_is_not(server, destination):
    server.sql("ALTER TABLE galwad.notes ADD CHECK (length(purpose_code) <= 20)")
    with pytest.raises(NoteRefusedError, match=r"does not accept the note \(23514\)"):
        await destination.deliver(replace(NOTE, purpose_code="x" * 21), FIRST)
    server.sql("REVOKE INSERT ON galwad.notes FROM galwad_notes")
    with pytest.raises(SqlError, match=r"\(42501\)"):
        await destination.deliver(NOTE, FIRST)
    server.sql("GRANT INSERT ON galwad.notes TO galwad_notes")
    await destination.deliver(NOTE, FIRST)
    assert rows(server) == ["1|1"]


async def test_notes_that_are_delivered_twice_while_the_server_crashes_are_stored_once(
    server, destination
):
    """The server crashes and starts again and again: 4 s of CPU time."""
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
                except ServerError:
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


@pytest.fixture
def service(start, server, tmp_path):
    """The three processes with the settings of the page, and this server."""
    return start(
        "switch", "desk", "finaliser", users=True, more=directory_settings(server, tmp_path)
    )


def test_a_call_shows_the_person_of_the_database_view_and_its_note_survives_a_server_crash(
    service, place_call, server
):
    server.sql("DELETE FROM galwad.notes")
    call = place_call("uas_plain")
    url = f"/api/v1/calls/{call.call_id}"
    with service.sign_in() as page:
        wait_until(lambda: page.get(url).json()["caller"]["status"] == "found")
        (person,) = page.get(url).json()["caller"]["candidates"]
        assert (person["name"], person["language"]) == ("Siân ap Gwynn", "cy")
        page.post(f"{url}/confirm", json={"outcome": "confirmed"})
        server.kill()
        for outcome in ("ordered", "ordered, comes on Monday"):
            note = {"purpose": "Bin newydd", "language": "cy", "outcome": outcome}
            assert page.put(f"{url}/contact", json=note).status_code == 200
        service.log.wait("note.attempted", outcome="failed")
        server.begin()
        wait_until(lambda: len(rows(server, "version")) == 2, seconds=120)
    call.hang_up()
    assert rows(server, "call_id, version, person_id, reference, outcome") == [
        f"{call.call_id}|1|7|P7|ordered",
        f"{call.call_id}|2|7|P7|ordered, comes on Monday",
    ]
