"""A directory in a view of a database: one row for each person.

The search is one SELECT with bound parameters. The database compares the columns with each of the
usual spellings of the number, so it can use an index. It also converts each value to a text and
cuts the text, so neither an unusual type nor a huge value reaches this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    TableClause,
    Unicode,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
)

from callerid.errors import SourceError, SqlError
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleMapping, compiled
from callerid.person import Person
from callerid.spellings import spellings
from callerid.sql_database import SqlDatabase
from callerid.templates import Json

_MOST_ROWS: Final = 501
"""One row more than a directory may find, so that the mapping refuses an answer with more."""
_LONGEST: Final = 2001
"""The most characters of a value, one more than are shown."""
_NO_COLUMN: Final = frozenset({"42703", "SQLITE_ERROR"})
_OPTIONAL: Final = ("language", "kind", "shared", "do_not_pop")


@dataclass(frozen=True, slots=True)
class PeopleView:
    """A view or table with one row for each person, and its columns.

    All names are written as the database has them, with capital and small letters.
    """

    name: str
    """The name, after the name of its schema and a dot if it has one."""
    record_id: str
    person_name: str
    numbers: tuple[str, ...]
    """The columns in which numbers are sought. Each has one number, as a text."""
    language: str | None = None
    kind: str | None = None
    shared: str | None = None
    do_not_pop: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> dict[str, str]:
        """Return the columns by the names that they have in an answer."""
        optional = {name: getattr(self, name) for name in _OPTIONAL}
        return {
            "id": self.record_id,
            "name": self.person_name,
            **{f"number{at}": name for at, name in enumerate(self.numbers)},
            **{name: each for name, each in optional.items() if each is not None},
            **{f"detail{at}": name for at, name in enumerate(self.details.values())},
        }

    def select(self, number: PhoneNumber) -> Select[*tuple[Any, ...]]:
        """Return the statement that finds the people with this number."""
        columns = self.columns()
        view = _view(self.name, columns.values())
        conditions = (view.c[name].in_(spellings(number)) for name in self.numbers)
        return (
            select(*(_text(label, view.c[name]) for label, name in columns.items()))
            .where(or_(*conditions))
            .limit(_MOST_ROWS)
        )

    def mapping(self) -> PeopleMapping:
        """Return the places of the columns in an answer, which is a list of rows."""
        columns = self.columns()
        numbers = ", ".join(f"number{at}" for at in range(len(self.numbers)))
        return PeopleMapping(
            people=compiled("@"),
            record_id=compiled("id"),
            name=compiled("name"),
            numbers=compiled(f"[{numbers}]"),
            details={label: compiled(f"detail{at}") for at, label in enumerate(self.details)},
            **{name: compiled(name) for name in _OPTIONAL if name in columns},
        )


class SqlDirectory:
    """A directory in a view of `database`, whose connections should be read-only."""

    def __init__(
        self, name: str, view: PeopleView, database: SqlDatabase, *, has_extensions: bool = False
    ) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._view = view
        self._mapping = view.mapping()
        self._database = database

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number in a usual spelling.

        Raises:
            SourceError: The database cannot be searched, or has more than 500 such people.
        """
        try:
            async with self._database.transaction() as connection:
                result = await connection.execute(self._view.select(number))
                rows: list[Json] = [dict(row) for row in result.mappings()]
        except SqlError as error:
            if error.code in _NO_COLUMN:
                await self._name_missing_columns()
            raise
        # In a thread, because many long texts must not delay other work.
        return await asyncio.to_thread(self._mapping.read, rows, self.name)

    async def close(self) -> None:
        """Close the connections to the database."""
        await self._database.close()

    async def _name_missing_columns(self) -> None:
        """Raise a SourceError if the view lacks a column of the settings."""
        wanted = dict.fromkeys(self._view.columns().values())
        everything: Select[*tuple[Any, ...]] = select(literal_column("*"))
        everything = everything.select_from(_view(self._view.name, ())).limit(0)
        async with self._database.transaction() as connection:
            present = frozenset((await connection.execute(everything)).keys())
        missing = ", ".join(f'"{name}"' for name in wanted if name not in present)
        if missing:
            raise SourceError(f"the view lacks these columns: {missing}")


def _view(name: str, columns: Iterable[str]) -> TableClause:
    schema, _, own = name.rpartition(".")
    return table(own, *map(column, dict.fromkeys(columns)), schema=schema or None)


def _text(label: str, value: ColumnElement[Any]) -> ColumnElement[str]:
    """Return a value as a text. PostgreSQL and SQL Server cut it, SQLite needs a function."""
    text: ColumnElement[str] = cast(value, Unicode(_LONGEST))
    if label != "do_not_pop":  # SQLite's function makes a text that begins with NUL empty
        text = func.substring(text, 1, _LONGEST)
    return text.label(label)
