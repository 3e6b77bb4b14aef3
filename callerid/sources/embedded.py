"""The search in the embedded directory, whose file `callerid.directory` describes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from callerid.directory import open_directory
from callerid.errors import DirectoryError, SourceError
from callerid.import_file import DETAILS
from callerid.number import PhoneNumber
from callerid.person import Person, PersonKind

_MOST_PEOPLE = 50
_LOCKED_S = 0.1
"""The longest time in seconds to wait while the file is locked. Only a replaced file is locked."""
_QUERY = """
SELECT people.*, numbers.extension FROM numbers JOIN people ON people.id = numbers.person_id
WHERE numbers.e164 = ? ORDER BY people.name, people.id
"""


class EmbeddedDirectory:
    """Finds people by telephone number in the embedded directory, the file at `path`.

    A search finds the people who have exactly the searched number and extension. Only if there are
    none, it finds all people who have this number with another extension or without one. If the
    file does not exist, no people were ever imported, and no person is found.
    """

    name = "directory"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number whom a screen-pop may show, at most fifty.

        Raises:
            SourceError: The directory cannot be read.
        """
        try:
            rows = await asyncio.to_thread(self._rows, number)
        except (sqlite3.Error, DirectoryError) as error:
            raise SourceError(f"cannot read the directory: {type(error).__name__}") from None
        exact = [row for row in rows if row["extension"] == number.extension]
        chosen = exact or rows
        once = {row["id"]: _person(row, main_line=not exact) for row in chosen}
        visible = [person for person in once.values() if not person.do_not_pop]
        return visible[:_MOST_PEOPLE]

    def _rows(self, number: PhoneNumber) -> list[Any]:
        try:
            return self._rows_once(number)
        except sqlite3.Error:
            # An import may have replaced and erased the file after this lookup opened it.
            return self._rows_once(number)

    def _rows_once(self, number: PhoneNumber) -> list[Any]:
        opened = open_directory(self._path, _LOCKED_S)
        if opened is None:
            return []
        with closing(opened) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(_QUERY, (number.e164,)).fetchall()


def _person(row: Any, *, main_line: bool) -> Person:
    details = tuple((name, str(row[name])) for name in DETAILS if row[name])
    return Person(
        person_id=f"directory:{row['id']}",
        name=row["name"],
        language=row["language"],
        kind=PersonKind(row["kind"]),
        shared=bool(row["shared"]),
        do_not_pop=bool(row["do_not_pop"]),
        main_line=main_line,
        details=details,
    )
