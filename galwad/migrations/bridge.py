"""The bridge from the revisions 0001 to 0024, which revision 0025 of the first release replaces.

Databases that Galwad made from 2026-11-25 to 2026-12-01 have one of these revisions. This module
uses only SQL and `first_release.sql`, and not the modules that may change later.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from alembic.migration import MigrationContext
from sqlalchemy import Connection

FIRST_RELEASE: Final = Path(__file__).with_name("first_release.sql").read_text("utf-8")
REPLACED: Final = tuple(f"{number:04}" for number in range(1, 25))
"""The ids of the revisions that revision 0025 replaces, the oldest first."""

_COLUMNS: Final = """
SELECT tables.name, columns.name, columns.type
    || CASE WHEN columns.dflt_value IS NULL THEN '' ELSE ' DEFAULT ' || columns.dflt_value END
    || CASE WHEN columns."notnull" THEN ' NOT NULL' ELSE '' END
FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' ORDER BY tables.name, columns.cid
"""
_DIRECTORY: Final = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    kind TEXT NOT NULL,
    shared INTEGER NOT NULL,
    do_not_pop INTEGER NOT NULL,
    address TEXT NOT NULL,
    postcode TEXT NOT NULL,
    email TEXT NOT NULL,
    date_of_birth TEXT NOT NULL,
    notes TEXT NOT NULL,
    line INTEGER
);
CREATE TABLE numbers (
    e164 TEXT NOT NULL,
    extension TEXT NOT NULL,
    person_id INTEGER NOT NULL,
    PRIMARY KEY (e164, extension, person_id)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_PEOPLE: Final = (
    "id, reference, name, language, kind, shared, do_not_pop, "
    "address, postcode, email, date_of_birth, notes"
)
_NUMBERS: Final = "e164, extension, person_id"
_ROWS: Final = 1000


def cross(connection: Connection) -> None:
    """If the database has a replaced revision, prepare it for the first release's revision.

    Afterwards the database has no revision, and its tables have the first release's columns. So the
    first release's revision runs next, and creates only the tables and indexes that are missing.
    All changes of the database are part of the caller's transaction.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found not in REPLACED:
        return
    if found < "0006":
        _move_people(connection)
    _add_columns(connection)
    if found < "0013":
        connection.exec_driver_sql(
            "UPDATE contact_outbox SET state = 'delivered' WHERE delivered IS NOT NULL"
        )
    connection.exec_driver_sql("DELETE FROM alembic_version")


def _add_columns(connection: Connection) -> None:
    """Add to each table of the database the columns that it has in the first release."""
    present = {(table, name) for table, name, _ in connection.exec_driver_sql(_COLUMNS)}
    tables = {table for table, _ in present}
    with closing(sqlite3.connect(":memory:")) as release:
        release.executescript(FIRST_RELEASE)
        for table, name, definition in release.execute(_COLUMNS):
            if table in tables and (table, name) not in present:
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")


def _move_people(connection: Connection) -> None:
    """Move the people and their numbers into `directory.db` beside the database."""
    if connection.exec_driver_sql("SELECT 1 FROM people LIMIT 1").first() is not None:
        path = Path(str(connection.engine.url.database)).with_name("directory.db")
        _write_directory(connection, path)
    # The pages of the dropped tables have personal data, so SQLite must overwrite them.
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    connection.exec_driver_sql("DROP TABLE numbers")
    connection.exec_driver_sql("DROP TABLE people")


def _write_directory(connection: Connection, path: Path) -> None:
    """Write the people and their numbers into the file at `path`, completely or not at all.

    If the upgrade is interrupted after this, the next upgrade writes the same file again.
    """
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with closing(sqlite3.connect(part)) as directory:
        directory.executescript(_DIRECTORY)
        for table, columns in (("people", _PEOPLE), ("numbers", _NUMBERS)):
            marks = ", ".join("?" * (columns.count(",") + 1))
            for rows in _rows(connection, f"SELECT {columns} FROM {table}"):  # noqa: S608 - no values
                directory.executemany(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - no values
                    rows,
                )
        directory.commit()
    part.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rows(connection: Connection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    for rows in connection.exec_driver_sql(query).partitions(_ROWS):
        yield [tuple(row) for row in rows]
