"""Custody: which recordings are retained, and which recordings were disposed of.

Both facts are stored in tables of the same database as the index of recordings. A recording is
retained for a reason, from `Custodian.retain` to `Custodian.release`.
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
"""The maximum number of call ids that one database query reads."""

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

    Attributes:
        retained_for: The reason why the recording is retained; None if it is not retained.
        disposed: The time of the disposal in Unix seconds; None if there was no disposal.
        reason: The reason of the disposal; "" if there was no disposal.
    """

    retained_for: str | None = None
    disposed: float | None = None
    reason: str = ""

    @property
    def label(self) -> Literal["", "held", "disposed"]:
        """One word for the custody, for lists of recordings.

        "disposed" if the recording was disposed of; otherwise "held" if the recording is retained;
        otherwise "".
        """
        if self.disposed is not None:
            return "disposed"
        return "" if self.retained_for is None else "held"


NOT_RETAINED = Custody()


class Custodian:
    """Stores which of a node's recordings are retained, and which were disposed of.

    Every method raises `CatalogueError` if the database fails.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.deciding = asyncio.Lock()
        """The lock for code that checks the custody of a recording and then acts on the result.

        For example, a request to dispose of a recording takes this lock, checks that the recording
        is not retained, and orders the disposal. A request to retain the recording waits until the
        disposal is done.
        """
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def of(self, call_ids: Collection[str]) -> dict[str, Custody]:
        """Return a dict from call id to custody, for the recordings with these call ids.

        The dict has only those recordings of `call_ids` that are retained or were disposed of.
        """
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
        """Return whether a recording is retained or was disposed of, with the reason.

        The result is `NOT_RETAINED` if the recording is not retained and was not disposed of.
        """
        return (await self.of((call_id,))).get(call_id, NOT_RETAINED)

    async def all_disposed(self) -> set[str]:
        """Return the call ids of all recordings that were disposed of.

        The rows are read in parts, so that other tasks can run between the parts.
        """
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
        """Retain a recording for this reason, from `now` (Unix seconds).

        If the recording is retained already, its old reason and time are replaced.
        """
        await self._put(retentions, call_id, reason=reason, since=now)

    async def release(self, call_id: str) -> None:
        """End the retention of a recording. If the recording is not retained, do nothing."""
        try:
            async with self._writer.begin() as connection:
                await connection.execute(delete(retentions).where(retentions.c.call_id == call_id))
        except SQLAlchemyError as error:
            raise _failed(error) from None

    async def disposed(self, call_id: str, reason: str, at: float) -> None:
        """Store the disposal of a recording: its reason, and its time `at` (Unix seconds).

        If a disposal of the recording is already stored, nothing changes.
        """
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
