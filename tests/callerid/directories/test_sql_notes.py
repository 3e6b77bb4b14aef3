"""Contact notes are added to a table, each version once. Here the database is SQLite.

`tests/peers/test_postgresql_notes.py` delivers notes to PostgreSQL.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest

from callerid.directories.sql import SqlNotes, SqlNotesSection
from callerid.directories.sql_database import SqlAddress, SqlDatabase
from callerid.errors import NoteRefusedError
from callerid.note import EarlierDelivery
from helpers.notes import NOTE as PLAIN
from net.errors import ServerError

COLUMNS = (
    "note_id, version, call_id, started, line, advisor, person_id, reference, purpose, "
    "purpose_code, language, outcome, caller_type, on_behalf_of, authority, notes, "
    "recording_url, no_note_reason"
)
"""The columns that docs/crm/sql.md names. Councils have made such tables, so these stay."""
NOTE = replace(PLAIN, started=1_790_000_000.5, notes="'); DROP TABLE notes; -- tŷ ŵyr")
FIRST = EarlierDelivery()


@pytest.fixture
def crm(tmp_path):
    with closing(sqlite3.connect(tmp_path / "crm.db")) as connection:
        connection.execute(
            f"CREATE TABLE notes ({COLUMNS}, PRIMARY KEY (note_id, version), "
            "CHECK (length(notes) < 100))"
        )
        yield connection


@pytest.fixture
async def destination(tmp_path, crm):
    address = SqlAddress(f"sqlite+aiosqlite:///{tmp_path}/crm.db")
    database = SqlDatabase(address, access="write", timeout_s=20, connections=1)
    destination = SqlNotes("crm", SqlNotesSection(table="notes"), database)
    yield destination
    await destination.close()


def rows(crm, columns="version, notes"):
    return crm.execute(f"SELECT {columns} FROM notes ORDER BY version").fetchall()


async def test_a_note_is_added_as_a_row_with_its_id_start_and_texts(destination, crm):
    assert await destination.deliver(NOTE, FIRST) == str(NOTE.note_id)
    ((note_id, started, *others),) = rows(crm, "note_id, started, call_id, line, notes, reference")
    assert (note_id, others) == (
        str(NOTE.note_id),
        [NOTE.call_id, NOTE.line, NOTE.notes, NOTE.reference],
    )
    assert started.startswith("2026-09-21 14:13:20")


async def test_a_note_that_is_not_finished_says_so_in_its_text(destination, crm):
    await destination.deliver(replace(NOTE, notes="Drws wedi", unfinished=True), FIRST)
    assert rows(crm, "notes") == [("Not finished: the advisor did not save this note.\nDrws wedi",)]


async def test_a_version_that_is_delivered_again_changes_nothing(destination, crm):
    await destination.deliver(NOTE, FIRST)
    for earlier in (FIRST, EarlierDelivery(uncertain=True), EarlierDelivery(1, str(uuid4()))):
        await destination.deliver(NOTE, earlier)
    assert rows(crm) == [(1, NOTE.notes)]


async def test_each_version_of_a_note_is_a_row_of_its_own(destination, crm):
    record = await destination.deliver(NOTE, FIRST)
    second = replace(NOTE, version=2, notes="Ring back")
    assert await destination.deliver(second, EarlierDelivery(1, record)) == record
    assert rows(crm) == [(1, NOTE.notes), (2, "Ring back")]


async def test_a_note_whose_rows_were_deleted_is_not_added_again(destination, crm):
    record = await destination.deliver(NOTE, FIRST)
    crm.execute("DELETE FROM notes")
    crm.commit()
    with pytest.raises(NoteRefusedError, match="earlier versions were deleted"):
        await destination.deliver(replace(NOTE, version=2), EarlierDelivery(1, record))
    assert rows(crm) == []


async def test_a_note_that_the_table_does_not_accept_is_refused_without_its_text(destination, crm):
    with pytest.raises(NoteRefusedError) as caught:
        await destination.deliver(replace(NOTE, notes="x" * 100), FIRST)
    assert str(caught.value) == "the table does not accept the note (SQLITE_CONSTRAINT_CHECK)"


async def test_a_note_is_not_refused_while_its_table_is_missing_and_is_delivered_later(
    destination, crm
):
    crm.execute("ALTER TABLE notes RENAME TO later")
    with pytest.raises(ServerError, match="does not exist"):
        await destination.deliver(NOTE, FIRST)
    crm.execute("ALTER TABLE later RENAME TO notes")
    await destination.deliver(NOTE, FIRST)
    assert rows(crm) == [(1, NOTE.notes)]
