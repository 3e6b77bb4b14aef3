"""Custody: which recordings are retained, and which were disposed of.

Both are in tables of the index's database. A recording is retained for a reason, from
`Custodian.retain` to `Custodian.release`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Column, Float, ForeignKey, String, Table, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from recording.errors import CatalogueError, reason_of
from recording.index.catalogue import metadata

_BATCH = 2000
"""The most call ids that one database query reads."""

retentions = Table(
    "recording_holds",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("reason", String(200), nullable=False),
    Column("since", Float, nullable=False),
)

disposals = Table(
    "recording_disposals",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("at", Float, nullable=False),
    Column("reason", String(20), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Custody:
    """The custody of one recording.

    `retained_for` is None if it is not retained. `disposed` is in Unix seconds; None, with the
    reason "", if there was no disposal.
    """

    retained_for: str | None = None
    disposed: float | None = None
    reason: str = ""

    @property
    def label(self) -> Literal["", "held", "disposed"]:
        """One word for lists of recordings. A disposal comes before a retention."""
        if self.disposed is not None:
            return "disposed"
        return "" if self.retained_for is None else "held"


NOT_RETAINED = Custody()


class Custodian:
    """Stores retentions and disposals. Every method raises `CatalogueError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.deciding = asyncio.Lock()
        """Held by code that checks a recording's custody and then acts on the result.

        For example, a request to dispose of a recording takes this lock, checks that it is not
        retained, and orders the disposal. A request to retain it waits until the disposal is done.
        """
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def of(self, call_ids: Collection[str]) -> dict[str, Custody]:
        """Return the custody, by call id, of those recordings that have one."""
        try:
            async with self._engine.connect() as connection:
                held = await connection.execute(
                    select(retentions).where(retentions.c.call_id.in_(call_ids))
                )
                found = {row.call_id: Custody(retained_for=row.reason) for row in held}
                gone = await connection.execute(
                    select(disposals).where(disposals.c.call_id.in_(call_ids))
                )
                for row in gone:
                    held_for = found.get(row.call_id, NOT_RETAINED).retained_for
                    found[row.call_id] = Custody(held_for, row.at, row.reason)
        except SQLAlchemyError as error:
            raise _failed(error) from None
        return found

    async def one(self, call_id: str) -> Custody:
        """Return the custody of a recording, or `NOT_RETAINED`."""
        return (await self.of((call_id,))).get(call_id, NOT_RETAINED)

    async def all_disposed(self) -> set[str]:
        """Return the call ids of all disposed recordings; let other tasks run meanwhile."""
        found: set[str] = set()
        last = ""
        call_id = disposals.c.call_id
        try:
            async with self._engine.connect() as connection:
                while True:
                    part = select(call_id).where(call_id > last).order_by(call_id).limit(_BATCH)
                    rows = (await connection.scalars(part)).all()
                    found.update(rows)
                    if len(rows) < _BATCH:
                        return found
                    last = rows[-1]
        except SQLAlchemyError as error:
            raise _failed(error) from None

    async def retain(self, call_id: str, reason: str, now: float) -> None:
        """Retain a recording from `now` (Unix seconds); replace an earlier reason and time."""
        await self._put(retentions, call_id, reason=reason, since=now)

    async def release(self, call_id: str) -> None:
        """End the retention of a recording, if there is one."""
        try:
            async with self._writer.begin() as connection:
                await connection.execute(delete(retentions).where(retentions.c.call_id == call_id))
        except SQLAlchemyError as error:
            raise _failed(error) from None

    async def disposed(self, call_id: str, reason: str, at: float) -> None:
        """Store the disposal of a recording at `at` (Unix seconds), once."""
        if (await self.one(call_id)).disposed is None:
            await self._put(disposals, call_id, reason=reason, at=at)

    async def _put(self, table: Table, call_id: str, **values: str | float) -> None:
        try:
            async with self._writer.begin() as connection:
                await connection.execute(delete(table).where(table.c.call_id == call_id))
                await connection.execute(insert(table).values(call_id=call_id, **values))
        except SQLAlchemyError as error:
            raise _failed(error) from None


def _failed(error: SQLAlchemyError) -> CatalogueError:
    return CatalogueError(f"the index cannot be used: {reason_of(error)}")
