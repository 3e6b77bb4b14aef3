"""Contact notes in a table of a database: one row for each version of a note.

Rows are only added. So the database's user needs the right to insert rows, and to read the columns
`note_id` and `version`; it cannot read, change or delete notes. The table's primary key must be
these two columns, which keeps two attempts from adding the same version twice. There is no column
for a note that is not finished: its text says so, and the tables of earlier releases fit.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import DateTime, column, insert, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from callerid.errors import NoteRefusedError, SqlError
from callerid.note_destination import EarlierDelivery, OutgoingNote
from callerid.sql_database import SqlDatabase

_COLUMNS: Final = (
    *("version", "call_id", "started", "line", "advisor", "person_id", "reference", "purpose"),
    *("purpose_code", "language", "outcome", "caller_type", "on_behalf_of", "authority", "notes"),
    *("recording_url", "no_note_reason"),
)
"""The columns beside `note_id`. Councils have tables with these, so a new field adds none."""
_NOT_FINISHED: Final = "Not finished: the advisor did not save this note.\n"
_REFUSED: Final = ("22", "23", "SQLITE_CONSTRAINT")
"""The beginnings of the codes of errors that concern the note, not the database or its settings."""


class SqlNotes:
    """Adds notes to a table of `database`; `table_name` may begin with a schema and a dot."""

    def __init__(self, name: str, table_name: str, database: SqlDatabase) -> None:
        self.name = name
        self._database = database
        schema, _, own = table_name.rpartition(".")
        types = {"started": DateTime(timezone=True)}
        columns = (column(name, types.get(name)) for name in _COLUMNS)
        self._table = table(own, column("note_id"), *columns, schema=schema or None)

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Add a row for this version, unless there is one; return the id of the note.

        Raises:
            NoteRefusedError: The rows of earlier versions were deleted, or the table does not
                accept the row, for example because a text is too long.
            SourceError: The database cannot be used now.
        """
        note_id = str(note.note_id)
        row = _row(note, note_id)
        try:
            async with self._database.transaction() as connection:
                versions = await self._versions(connection, note_id)
                if earlier.version and not versions:
                    raise NoteRefusedError("the rows of the note's earlier versions were deleted")
                if note.version not in versions:
                    await connection.execute(insert(self._table).values(row))
        except SqlError as error:
            if not error.code.startswith(_REFUSED):
                raise
            async with self._database.transaction() as connection:
                versions = await self._versions(connection, note_id)
            if note.version not in versions:  # otherwise, another attempt has added it meanwhile
                reason = f"the table does not accept the note ({error.code})"
                raise NoteRefusedError(reason) from None
        return note_id

    async def close(self) -> None:
        """Close the connections to the database."""
        await self._database.close()

    async def _versions(self, connection: AsyncConnection, note_id: str) -> frozenset[int]:
        """Return the versions of a note that the table has."""
        notes = self._table
        rows = await connection.scalars(select(notes.c.version).where(notes.c.note_id == note_id))
        return frozenset(rows)


def _row(note: OutgoingNote, note_id: str) -> dict[str, object]:
    """Return the values of the columns for a version of a note."""
    row = {name: value for name, value in asdict(note).items() if name in _COLUMNS}
    notes = f"{_NOT_FINISHED}{note.notes}" if note.unfinished else note.notes
    started = datetime.fromtimestamp(note.started, UTC)
    return {**row, "note_id": note_id, "started": started, "notes": notes}
