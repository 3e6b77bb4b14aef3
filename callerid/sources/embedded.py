"""The search in the embedded directory, which is a part of the database of the desk.

`callerid.directory` has the tables of this directory.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.directory import DETAILS, numbers, people
from callerid.errors import SourceError
from callerid.number import PhoneNumber
from callerid.person import Person, PersonKind

_MOST_PEOPLE = 50


class EmbeddedDirectory:
    """Finds people in the embedded directory by telephone number.

    A search finds the people who have exactly the searched number and extension. Only if there are
    none, it finds all people who have this number with another extension or without one.
    """

    name = "directory"

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number whom a screen-pop may show, at most fifty.

        Raises:
            SourceError: The database cannot be read.
        """
        statement = (
            select(people, numbers.c.extension)
            .join(numbers, numbers.c.person_id == people.c.id)
            .where(numbers.c.e164 == number.e164)
            .order_by(people.c.name, people.c.id)
        )
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
        except SQLAlchemyError as error:
            raise SourceError(f"cannot read the directory: {type(error).__name__}") from None
        exact = [row for row in rows if row.extension == number.extension]
        chosen = exact or rows
        once = {row.id: _person(row, main_line=not exact) for row in chosen}
        visible = [person for person in once.values() if not person.do_not_pop]
        return visible[:_MOST_PEOPLE]


def _person(row: Row[Any], *, main_line: bool) -> Person:
    details = tuple((name, str(getattr(row, name))) for name in DETAILS if getattr(row, name))
    return Person(
        person_id=f"directory:{row.id}",
        name=row.name,
        language=row.language,
        kind=PersonKind(row.kind),
        shared=row.shared,
        do_not_pop=row.do_not_pop,
        main_line=main_line,
        details=details,
    )
