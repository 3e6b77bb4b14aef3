"""An outbox: the rows of a table that wait for delivery to another system.

The rows of one call are delivered one after the other, in their sequence. Rows of different calls
do not wait for each other. Contact notes (`galwad.notes.delivery`) and call events
(`galwad.events.outbox`) have an outbox.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, String, Table, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

REFUSED = "refused"
"""The state of a row that the other system does not accept."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """The time until the next attempt. Before jitter, a failure doubles it up to `longest_s`."""

    first_s: float
    longest_s: float

    def wait_s(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait after a failure. `failures` is the number of earlier failures.

        `jitter` is a random number from 0 (half the time) to 1 (the whole time).
        """
        longest = min(self.first_s * 2.0 ** min(failures, 30), self.longest_s)
        return longest * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The numbers of rows that wait, and of rows that were refused."""

    waiting: int
    refused: int
    oldest: float | None
    """The time at which the oldest waiting row was written, in seconds since 1970."""

    def age_s(self, now: float) -> float:
        """Return the seconds that the oldest waiting row has waited at the time `now`, or 0."""
        return max(now - self.oldest, 0.0) if self.oldest is not None else 0.0


class Outbox:
    """The outbox in `table`. Times are in seconds since 1970.

    The column `state` has the text `waiting` while the row is to be delivered. The column
    `sequence` numbers the rows of each call.
    """

    def __init__(
        self, engine: AsyncEngine, table: Table, state: Column[str], waiting: str, sequence: str
    ) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._table = table
        self._state = state
        self._waits = waiting
        self._sequence = sequence
        self._waiting: ColumnElement[bool] = state == waiting
        self._refused: ColumnElement[bool] = state == REFUSED

    async def _due(
        self, due: ColumnElement[bool], busy: Collection[str], most: int
    ) -> Sequence[Row[Any]]:
        """Return at most `most` waiting rows that meet the condition `due`.

        Rows of calls in `busy` are left out. So are rows that wait behind a row of the same call.
        """
        table = self._table
        statement = (
            select(table)
            .where(self._first_of_calls(busy), due)
            .order_by(table.c.due, table.c.created, table.c[self._sequence])
            .limit(most)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).all()

    async def next_due(self, busy: Collection[str]) -> float | None:
        """Return when the next row of a call not in `busy` is due; None if no such row waits."""
        statement = select(func.min(self._table.c.due)).where(self._first_of_calls(busy))
        async with self._engine.connect() as connection:
            found: float | None = await connection.scalar(statement)
            return found

    def _first_of_calls(self, busy: Collection[str]) -> ColumnElement[bool]:
        """Return a condition for the first waiting row of each call that is not in `busy`."""
        rows, older = self._table, self._table.alias("older")
        held_back = (
            select(older.c.call_id)
            .where(
                older.c.call_id == rows.c.call_id,
                older.c[self._sequence] < rows.c[self._sequence],
                older.c[self._state.name] == self._waits,
            )
            .exists()
        )
        return and_(self._waiting, rows.c.call_id.not_in(busy), ~held_back)

    async def _change(self, *which: ColumnElement[bool], **values: Any) -> int:
        """Change the rows that `which` selects; return their number."""
        async with self._writer.begin() as connection:
            return await self._change_in(connection, *which, **values)

    async def _change_in(
        self, connection: AsyncConnection, *which: ColumnElement[bool], **values: Any
    ) -> int:
        if "reason" in values:
            kind = self._table.c.reason.type
            values["reason"] = values["reason"][: kind.length if isinstance(kind, String) else None]
        done = await connection.execute(update(self._table).where(*which).values(**values))
        return done.rowcount

    async def backlog(self) -> Backlog:
        """Return the numbers of rows that wait, and of rows that were refused."""
        statement = (
            select(self._waiting, func.count(), func.min(self._table.c.created))
            .where(or_(self._waiting, self._refused))
            .group_by(self._waiting)
        )
        async with self._engine.connect() as connection:
            found = {
                bool(waiting): (count, oldest)
                for waiting, count, oldest in await connection.execute(statement)
            }
        waiting, oldest = found.get(True, (0, None))
        return Backlog(waiting, found.get(False, (0, None))[0], oldest)
