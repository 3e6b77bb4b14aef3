"""Every setting of a directory in a database reaches its view and its connections."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from callerid.directories.sql import SqlDirectorySection
from callerid.note import EarlierDelivery
from callerid.number import PhoneNumber
from galwad.directories.subject import open_note_destination
from helpers.notes import NOTE
from net.errors import ServerError

CRM = {
    "name": "crm",
    "kind": "sql",
    "url": "postgresql+asyncpg://galwad@db.example/crm",
    "view": "callers",
    "columns": {
        "id": "id",
        "name": "name",
        "numbers": ["phone", "mobile"],
        "language": "lang",
        "kind": "sort",
        "shared": "many",
        "do_not_pop": "hide",
        "details": {"address": "street"},
    },
}


def section(**more):
    return SqlDirectorySection.model_validate({**CRM, **more})


async def test_every_column_of_the_settings_reaches_the_search(tmp_path):
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection:
        columns = "id, name, phone, mobile, lang, sort, many, hide, street"
        connection.execute(f"CREATE TABLE callers ({columns})")
        row = (7, "Elin", "", "201", "Welsh", "organisation", "yes", "yes", "1 Heol Fawr")
        connection.execute("INSERT INTO callers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()
    directory = section(url=f"sqlite+aiosqlite:///{path}", extensions=True).open()
    (person,) = await directory.find(PhoneNumber("", "201"))
    await directory.close()
    assert (directory.name, directory.has_extensions) == ("crm", True)
    assert (person.person_id, person.name, person.numbers) == ("crm:7", "Elin", ("201",))
    assert (person.language, person.kind.value) == ("cy", "organisation")
    assert (person.shared, person.do_not_pop) == (True, True)
    assert person.details == (("address", "1 Heol Fawr"),)


async def test_a_certificate_or_driver_that_is_missing_is_an_error_before_any_connection(tmp_path):
    with pytest.raises(ServerError, match="cannot use the TLS files: No such file"):
        section(tls={"ca": str(tmp_path / "ca.pem")}).open()
    query = "?driver=ODBC&Encrypt=yes"
    with pytest.raises(ServerError, match="the Python package aioodbc is not installed"):
        section(url=f"mssql+aioodbc://galwad@db.example/crm{query}").open()


def test_concurrency_and_timeout_of_the_settings_become_the_limits():
    limits = section(concurrency=2, timeout=3).limits
    assert (limits.concurrency, limits.timeout_s) == (2, 3)


async def test_a_note_is_added_to_the_configured_table_once_the_missing_database_exists(tmp_path):
    path = tmp_path / "crm.db"
    settings = section(url=f"sqlite+aiosqlite:///{path}", contact_notes={"table": "notes"})
    destination = open_note_destination([settings])
    assert destination is not None
    with pytest.raises(ServerError, match="No such file or directory"):
        await destination.deliver(NOTE, EarlierDelivery())
    columns = ", ".join(["note_id", *NOTE.__dataclass_fields__])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE notes ({columns}, PRIMARY KEY (note_id, version))")
        await destination.deliver(NOTE, EarlierDelivery())
        assert connection.execute("SELECT notes FROM notes").fetchall() == [(NOTE.notes,)]
    await destination.close()
    assert destination.name == "crm"


def test_a_directory_without_the_setting_contact_notes_opens_no_note_destination():
    assert section().open_notes() is None
