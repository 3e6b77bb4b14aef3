"""The search in the embedded directory, whose file `callerid.directory` describes."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from callerid.directory import open_directory
from callerid.errors import DirectoryError
from callerid.import_file import DETAILS, LONGEST_DETAIL, MOST_PEOPLE_OF_A_NUMBER
from callerid.limited_source import CacheLimits, SourceLimits
from callerid.number import PhoneNumber
from callerid.person import Person, PersonKind, plain_text

LIMITS: Final = SourceLimits(concurrency=8, timeout_s=5.0, cache=CacheLimits(0, 0))
"""The limits for searches. No answer is kept, because a search takes about a millisecond."""
_LOCKED_S = 0.1
"""The longest time in seconds to wait while the file is locked. Only a replaced file is locked."""
_STEPS: Final = 10_000
"""The steps of SQLite's virtual machine after which it checks whether the search was given up."""
_COLUMNS: Final = ", ".join(
    (
        *("people.id", "people.name", "language", "kind", "shared", "people.do_not_pop"),
        *(f"substr({name}, 1, {LONGEST_DETAIL}) AS {name}" for name in DETAILS),
    )
)
"""The columns that a search reads. Details are cut, because earlier versions imported long ones."""
# The inner query sorts without the details. The outer query reads the details of those found.
_QUERY = f"""
SELECT {_COLUMNS}, e164, extension
FROM (
    SELECT numbers.*, extension <> :extension AS other, name, do_not_pop
    FROM numbers JOIN people ON people.id = numbers.person_id
    WHERE e164 = :e164 AND (:e164 <> '' OR extension = :extension)
    ORDER BY other, do_not_pop, name, person_id
    LIMIT {MOST_PEOPLE_OF_A_NUMBER}
) AS found JOIN people ON people.id = found.person_id
ORDER BY other, found.do_not_pop, found.name, person_id
"""  # noqa: S608 - no values in it
_SEARCH = f"""
SELECT {_COLUMNS}, coalesce(e164, '') AS e164, coalesce(extension, '') AS extension
FROM (
    SELECT id FROM people
    WHERE reference = :text OR (:words AND {{conditions}})
    ORDER BY reference <> :text, name, id LIMIT 50
) AS found JOIN people ON people.id = found.id
LEFT JOIN numbers ON numbers.person_id = people.id
ORDER BY reference <> :text, name, people.id
"""  # noqa: S608 - no values in it
_NAME = "CASE WHEN name GLOB '*[^ -~]*' THEN plain(name) ELSE name END"
"""The name without accents. SQLite calls Python only for a name that is not ASCII."""
_WORD = f"({_NAME} LIKE :w{{0}} ESCAPE '!' OR replace(postcode, ' ', '') LIKE :p{{0}} ESCAPE '!')"
_POSTCODE: Final = re.compile(r"\b([a-z]{1,2}[0-9][a-z0-9]?)\s+([0-9][a-z]{0,2})\b", re.IGNORECASE)
"""A postcode of the United Kingdom with a space, of which the last letters may be missing."""
_MOST_WORDS: Final = 6


class EmbeddedDirectory:
    """Finds people by telephone number or text in the embedded directory, the file at `path`.

    A search by number finds this number with any extension. If the file does not exist, no person
    is found. A search that is cancelled, for example at its time limit, stops reading the file.
    """

    name = "directory"
    has_extensions = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number, at most 500. Raises `DirectoryError`.

        People with the number's extension come first, then the other people. In both groups, those
        who must not be shown come last.
        """
        values = {"e164": number.e164, "extension": number.extension}
        return _people(await self._rows(_QUERY, values))

    async def search(self, text: str) -> list[Person]:
        """Return at most 50 people with this reference, or with all words of `text` in the name.

        A word may also be the beginning of the postcode, with or without its space. Only the first
        six words count. Capitals and accents do not matter. Raises `DirectoryError`.
        """
        joined = _POSTCODE.sub(r"\1\2", plain_text(text))
        words = [_escaped(word) for word in joined.split()[:_MOST_WORDS]]
        conditions = " AND ".join(_WORD.format(place) for place in range(len(words))) or "1"
        values: dict[str, object] = {"text": text.strip(), "words": len(words)}
        for place, word in enumerate(words):
            values |= {f"w{place}": f"%{word}%", f"p{place}": f"{word}%"}
        return _people(await self._rows(_SEARCH.format(conditions=conditions), values))

    async def close(self) -> None:
        """Do nothing, because each search opens and closes the file."""

    async def _rows(self, query: str, values: Mapping[str, object]) -> list[Any]:
        """Run a query in a thread; the query stops if this coroutine is cancelled."""
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(self._retried, query, values, given_up)
        except (sqlite3.Error, DirectoryError) as error:
            raise DirectoryError(f"cannot read the directory: {type(error).__name__}") from None
        finally:
            given_up.set()

    def _retried(
        self, query: str, values: Mapping[str, object], given_up: threading.Event
    ) -> list[Any]:
        try:
            return self._execute(query, values, given_up)
        except sqlite3.Error:
            if given_up.is_set():
                raise
            # An import may have replaced and erased the file after this search opened it.
            return self._execute(query, values, given_up)

    def _execute(
        self, query: str, values: Mapping[str, object], given_up: threading.Event
    ) -> list[Any]:
        opened = open_directory(self._path, _LOCKED_S)
        if opened is None:
            return []
        with closing(opened) as connection:
            connection.row_factory = sqlite3.Row
            connection.create_function("plain", 1, plain_text, deterministic=True)
            connection.set_progress_handler(given_up.is_set, _STEPS)
            return connection.execute(query, values).fetchall()


def _escaped(word: str) -> str:
    """Return a word as a pattern of LIKE that matches only this word."""
    return "".join(f"!{each}" if each in "!%_" else each for each in word)


def _people(rows: list[Any]) -> list[Person]:
    """Return the people of these rows, in their order."""
    by_id: dict[int, list[Any]] = {}
    for row in rows:
        by_id.setdefault(row["id"], []).append(row)
    return [_person(own) for own in by_id.values()]


def _person(rows: list[Any]) -> Person:
    """Return the person of these rows. Each row has one number of the person, or no number."""
    row = rows[0]
    found = ((each["e164"], each["extension"]) for each in rows)
    numbers = (PhoneNumber(*each) for each in found if any(each))
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
