"""The database table `breaks`. It has a row for each user who is on a break."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Column, Float, ForeignKey, String, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.people.store import metadata

breaks = Table(
    "breaks",
    metadata,
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("since", Float, nullable=False),
    Column("set_by", String(64), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Break:
    """A break: the user does not want to be rung. `since` is in Unix seconds.

    `reason` is a code in the list of reasons, or "" if the list is empty. `set_by` is the
    supervisor who has set the break, or "" if the user has.
    """

    user: str
    reason: str
    since: float
    set_by: str = ""


class Breaks:
    """Stores which users are on a break. A change is on the disk when its method returns."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def all(self) -> list[Break]:
        """Return the breaks of all users."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(breaks))).all()
        return [Break(**row._asdict()) for row in rows]

    async def begin(self, each: Break) -> None:
        """Store a break in place of the present one. Raises `IntegrityError` for unknown users."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(breaks).where(breaks.c.user == each.user))
            await connection.execute(insert(breaks).values(asdict(each)))

    async def end(self, user: str) -> None:
        """Remove the user's break, if there is one."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(breaks).where(breaks.c.user == user))
