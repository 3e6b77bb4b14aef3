"""The search in the embedded directory, whose file `callerid.directory` describes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from callerid.answer_cache import CacheLimits
from callerid.directory import open_directory
from callerid.errors import DirectoryError, SourceError
from callerid.import_file import DETAILS
from callerid.limited_source import SourceLimits
from callerid.number import PhoneNumber
from callerid.person import Person, PersonKind

LIMITS: Final = SourceLimits(concurrency=8, timeout_s=5.0, cache=CacheLimits(0, 0))
"""The limits for searches. No answer is kept, because a search takes about a millisecond."""
_MOST_PEOPLE = 500
_LOCKED_S = 0.1
"""The longest time in seconds to wait while the file is locked. Only a replaced file is locked."""
_QUERY = """
SELECT people.*, numbers.e164, numbers.extension
FROM numbers JOIN people ON people.id = numbers.person_id
WHERE numbers.e164 = :e164 AND (:e164 <> '' OR numbers.extension = :extension)
ORDER BY numbers.extension <> :extension, people.do_not_pop, people.name, people.id
"""


class EmbeddedDirectory:
    """Finds people by telephone number in the embedded directory, the file at `path`.

    A search finds the people who have the searched number, with any extension. If the file does not
    exist, no people were ever imported, and no person is found.
    """

    name = "directory"
    has_extensions = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number, at most 500.

        Those with the number's extension come first, and those who may be shown before the others.

        Raises:
            SourceError: The directory cannot be read.
        """
        try:
            rows = await asyncio.to_thread(self._rows, number)
        except (sqlite3.Error, DirectoryError) as error:
            raise SourceError(f"cannot read the directory: {type(error).__name__}") from None
        by_id: dict[int, list[Any]] = {}
        for row in rows:
            by_id.setdefault(row["id"], []).append(row)
        return [_person(own) for own in list(by_id.values())[:_MOST_PEOPLE]]

    async def close(self) -> None:
        """Do nothing, because each search opens and closes the file."""

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
            return connection.execute(
                _QUERY, {"e164": number.e164, "extension": number.extension}
            ).fetchall()


def _person(rows: list[Any]) -> Person:
    """Return the person of these rows, each of which has one of the person's numbers."""
    row = rows[0]
    numbers = (PhoneNumber(each["e164"], each["extension"]) for each in rows)
    return Person(
        person_id=f"directory:{row['id']}",
        name=row["name"],
        numbers=tuple(str(each) if each.e164 else f"ext {each.extension}" for each in numbers),
        language=row["language"],
        kind=PersonKind(row["kind"]),
        shared=bool(row["shared"]),
        do_not_pop=bool(row["do_not_pop"]),
        details=tuple((name, str(row[name])) for name in DETAILS if row[name]),
    )
