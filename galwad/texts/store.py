"""The lists of texts that administrators have changed, in the desk's database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Float, MetaData, String, Table, Text, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.texts.rules import Entries, ListName, as_json, from_json

metadata = MetaData()

text_lists = Table(
    "text_lists",  # a row for each list that an administrator has changed
    metadata,
    Column("name", String(32), primary_key=True),
    # A JSON list with the code, the English and the Welsh text of each entry. NULL if the first
    # list is in force again.
    Column("entries", Text),
    # The entries that were replaced, in the same form, the newest first.
    Column("former", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("changed_by", String(64), nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """A list in the database. `entries` is None if the first list is in force again."""

    entries: Entries | None
    former: Entries
    changed: float
    changed_by: str


class TextStore:
    """Stores the changed lists. `save` returns when the change is on the disk."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def all(self) -> dict[str, StoredTexts]:
        """Return the stored lists by their names."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(text_lists))).all()
        return {
            row.name: StoredTexts(
                None if row.entries is None else from_json(row.entries),
                from_json(row.former),
                row.changed,
                row.changed_by,
            )
            for row in rows
        }

    async def save(self, name: ListName, texts: StoredTexts) -> None:
        """Store a list, in place of an earlier list with this name."""
        values = {
            "entries": None if texts.entries is None else as_json(texts.entries),
            "former": as_json(texts.former),
            "changed": texts.changed,
            "changed_by": texts.changed_by,
        }
        query = insert(text_lists).values(name=name, **values)
        async with self._writer.begin() as connection:
            await connection.execute(
                query.on_conflict_do_update(index_elements=["name"], set_=values)
            )
