"""Captured cards: the incidents in which a card number was keyed into a call outside a pause.

Each gap with the reason `captured-card` is one incident. It is open until a person has disposed of
the recording and has stored what was missing and what was changed. An incident never contains a
digit. The table is in the database of the index.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.archive.accounting import Interval
from recording.errors import CatalogueError, reason_of
from recording.index.catalogue import metadata

captured_cards = Table(
    "captured_cards",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("from_us", BigInteger, primary_key=True),
    Column("to_us", BigInteger, nullable=False),
    Column("detected", Float, nullable=False),
    Column("closed", Float),
    Column("missing_trigger", String(200)),
    Column("changed", String(200)),
)


@dataclass(frozen=True, slots=True)
class CapturedCard:
    """One incident, from `from_us` to `to_us` (µs since the recording's start).

    The other times are in Unix seconds. While the incident is open, these are None: `closed`,
    `missing_trigger` (what should have paused the recording) and `changed` (what prevents a
    repetition).
    """

    call_id: str
    from_us: int
    to_us: int
    detected: float
    closed: float | None = None
    missing_trigger: str | None = None
    changed: str | None = None

    @property
    def state(self) -> Literal["open", "closed"]:
        """Open or closed."""
        return "open" if self.closed is None else "closed"


class CapturedCards:
    """A node's incidents, each of an indexed recording. Every method raises `CatalogueError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def of(self, call_ids: Collection[str]) -> dict[str, list[CapturedCard]]:
        """Return the incidents of these recordings (a page at most), by call id."""
        condition = captured_cards.c.call_id.in_(call_ids)
        found: dict[str, list[CapturedCard]] = {}
        for incident in await self._read(select(captured_cards).where(condition)):
            found.setdefault(incident.call_id, []).append(incident)
        return found

    async def all(self, *, only_open: bool = False) -> list[CapturedCard]:
        """Return all incidents, or the open ones, sorted by call id and time."""
        statement = select(captured_cards)
        if only_open:
            statement = statement.where(captured_cards.c.closed.is_(None))
        return await self._read(statement)

    async def close(self, call_id: str, missing_trigger: str, changed: str, now: float) -> None:
        """Close a recording's open incidents. Closed ones keep what was stored with them."""
        await self._write(
            update(captured_cards)
            .where(captured_cards.c.call_id == call_id, captured_cards.c.closed.is_(None))
            .values(closed=now, missing_trigger=missing_trigger, changed=changed)
        )

    async def _read(self, statement: Any) -> list[CapturedCard]:
        ordered = statement.order_by(captured_cards.c.call_id, captured_cards.c.from_us)
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(ordered)).all()
        except SQLAlchemyError as error:
            raise _failed(error) from None
        return [_incident(row) for row in rows]

    async def _write(self, statement: Any) -> None:
        try:
            async with self._writer.begin() as connection:
                await connection.execute(statement)
        except SQLAlchemyError as error:
            raise _failed(error) from None


async def enter_new(
    connection: AsyncConnection, found: Mapping[str, Collection[Interval]], now: float
) -> list[CapturedCard]:
    """Enter an open incident for each captured-card gap that has none; return the new incidents.

    `found` has the gaps by call id, and `now` is in Unix seconds. The caller commits the
    transaction. Raises `SQLAlchemyError`.
    """
    statement = select(captured_cards.c.call_id, captured_cards.c.from_us)
    rows = await connection.execute(statement.where(captured_cards.c.call_id.in_(found)))
    known = {(row.call_id, row.from_us) for row in rows}
    new = [
        CapturedCard(call_id, gap.from_us, gap.to_us, now)
        for call_id, gaps in found.items()
        for gap in gaps
        if (call_id, gap.from_us) not in known
    ]
    if new:
        await connection.execute(insert(captured_cards), [asdict(incident) for incident in new])
    return new


def _incident(row: Row[Any]) -> CapturedCard:
    return CapturedCard(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name for it


def _failed(error: SQLAlchemyError) -> CatalogueError:
    return CatalogueError(f"the index cannot be used: {reason_of(error)}")
