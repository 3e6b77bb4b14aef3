"""Revision 0006: move the directory of people from the database into a file of its own.

An import of people now replaces this file, so it does not lock the database any more.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = """
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
_COLUMNS = (
    "id, reference, name, language, kind, shared, do_not_pop, "
    "address, postcode, email, date_of_birth, notes"
)
_ROWS = 1000


def upgrade() -> None:
    """Move the people and their numbers into the file `directory.db` beside the database."""
    connection = op.get_bind()
    if connection.exec_driver_sql("SELECT 1 FROM people LIMIT 1").first() is not None:
        _write(connection, _directory(connection))
    # the pages of the dropped tables are overwritten, because they have personal data
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    op.drop_table("numbers")
    op.drop_table("people")


def downgrade() -> None:
    """Create the two tables again, and copy the people of `directory.db` into them."""
    op.create_table(
        "people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("do_not_pop", sa.Boolean(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("postcode", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("date_of_birth", sa.String(), nullable=False),
        sa.Column("notes", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
    )
    op.create_table(
        "numbers",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("extension", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person_id", "e164", "extension"),
    )
    op.create_index("numbers_by_e164", "numbers", ["e164", "extension"])
    connection = op.get_bind()
    path = _directory(connection)
    if not path.exists():
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as directory:
        people = directory.execute(f"SELECT {_COLUMNS} FROM people")  # noqa: S608 - no values
        while rows := people.fetchmany(_ROWS):
            marks = ", ".join("?" * len(rows[0]))
            connection.exec_driver_sql(f"INSERT INTO people ({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608 - no values
        numbers = directory.execute("SELECT person_id, e164, extension FROM numbers")
        while rows := numbers.fetchmany(_ROWS):
            connection.exec_driver_sql("INSERT INTO numbers VALUES (?, ?, ?)", rows)


def _directory(connection: sa.Connection) -> Path:
    return Path(str(connection.engine.url.database)).with_name("directory.db")


def _write(connection: sa.Connection, path: Path) -> None:
    """Write the people in the database into the file at `path`, completely or not at all.

    If the upgrade is interrupted after this, the next one writes the same file again.
    """
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with closing(sqlite3.connect(part)) as directory:
        directory.executescript(_TABLES)
        marks = ", ".join("?" * (_COLUMNS.count(",") + 1))
        for rows in _rows(connection, f"SELECT {_COLUMNS} FROM people"):  # noqa: S608 - no values
            directory.executemany(
                f"INSERT INTO people ({_COLUMNS}) VALUES ({marks})",  # noqa: S608 - no values
                rows,
            )
        for rows in _rows(connection, "SELECT e164, extension, person_id FROM numbers"):
            directory.executemany("INSERT INTO numbers VALUES (?, ?, ?)", rows)
        directory.commit()
    part.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rows(connection: sa.Connection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    for rows in connection.exec_driver_sql(query).partitions(_ROWS):
        yield [tuple(row) for row in rows]
