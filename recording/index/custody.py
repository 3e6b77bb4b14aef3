"""Custody: recordings that are retained, flagged, or disposed of, or that had a captured card.

A recording is retained while a legal hold has it (`recording.index.holds`). Each gap with the
reason `captured-card` is an incident: a card number was keyed into a call outside a pause. The
incident is open until a person has disposed of the recording and has stored what was missing and
what was changed. An incident has no digit of the card number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    String,
    Table,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.archive.manifest import Interval
from recording.index.catalogue import index_errors, metadata
from recording.index.tables import flags, legal_holds, recordings, retentions, terms

_BATCH = 2000
"""The most call ids that one database query reads."""

disposals = Table(
    "recording_disposals",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("at", Float, nullable=False),
    Column("reason", String(20), nullable=False),
)

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
class Flag:
    """A flag of a recording, such as "sensitive", with its reason and time (Unix seconds)."""

    flag: str
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class HoldOfRecording:
    """A legal hold for which a recording is retained since a time (Unix seconds)."""

    hold_id: int
    reference: str
    since: float


@dataclass(frozen=True, slots=True)
class Custody:
    """The custody of one recording.

    The recording is retained for `holds`. `disposed` is the time of its disposal in Unix seconds,
    and `reason` the disposal's reason: None and "" if it was not disposed of. If the recording was
    released, it is not disposed of as outdated before `kept_until` (Unix seconds).
    """

    holds: tuple[HoldOfRecording, ...] = ()
    disposed: float | None = None
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    kept_until: float = 0.0

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The names of the flags, sorted."""
        return tuple(each.flag for each in self.flags)

    @property
    def label(self) -> Literal["", "held", "disposed"]:
        """One word for lists of recordings: "disposed" even if the recording is retained too."""
        if self.disposed is not None:
            return "disposed"
        return "held" if self.holds else ""


NOT_RETAINED = Custody()


class Custodian:
    """Stores flags and disposals. Every method raises `CatalogueError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.deciding = asyncio.Lock()
        """Held by code that checks a recording's custody and then acts on the result.

        For example, a request to dispose of a recording takes this lock, checks that it is not
        retained, and orders the disposal. A request to retain it waits until the disposal is done.
        """
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def of(self, call_ids: Collection[str]) -> dict[str, Custody]:
        """Return the custody of the recordings that have an entry in any table, by call id."""
        gone, flagged = (
            select(table).where(table.c.call_id.in_(call_ids)) for table in (disposals, flags)
        )
        held = (
            select(retentions, legal_holds.c.reference)
            .join(legal_holds, legal_holds.c.hold_id == retentions.c.hold_id)
            .where(retentions.c.call_id.in_(call_ids))
            .order_by(retentions.c.hold_id)
        )
        found: dict[str, Custody] = {}
        with index_errors():
            async with self._engine.connect() as connection:
                for row in await connection.execute(held):
                    found[row.call_id] = _with_hold(found.get(row.call_id, NOT_RETAINED), row)
                for row in await connection.execute(gone):
                    known = found.get(row.call_id, NOT_RETAINED)
                    found[row.call_id] = replace(known, disposed=row.at, reason=row.reason)
                for row in await connection.execute(flagged.order_by(flags.c.flag)):
                    known = found.get(row.call_id, NOT_RETAINED)
                    new = Flag(row.flag, row.reason, row.since)
                    found[row.call_id] = replace(known, flags=(*known.flags, new))
        return found

    async def one(self, call_id: str) -> Custody:
        """Return the custody of a recording, or `NOT_RETAINED`."""
        return (await self.of((call_id,))).get(call_id, NOT_RETAINED)

    async def all_disposed(self) -> set[str]:
        """Return the call ids of all disposed recordings. Other tasks run meanwhile."""
        found: set[str] = set()
        last = ""
        call_id = disposals.c.call_id
        with index_errors():
            async with self._engine.connect() as connection:
                while True:
                    part = select(call_id).where(call_id > last).order_by(call_id).limit(_BATCH)
                    rows = (await connection.scalars(part)).all()
                    found.update(rows)
                    if len(rows) < _BATCH:
                        return found
                    last = rows[-1]

    async def flag(self, call_id: str, flag: str, reason: str, now: float) -> None:
        """Flag a recording from `now` (Unix seconds) on; replace an earlier reason and time."""
        async with self._changing_flag(call_id, flag) as connection:
            columns = ["flag", "started", "call_id", "reason", "since"]
            at = recordings.c
            values = literal(flag), at.started, at.call_id, literal(reason), literal(now)
            row = select(*values).where(at.call_id == call_id)
            await connection.execute(insert(flags).from_select(columns, row))

    async def unflag(self, call_id: str, flag: str) -> None:
        """Remove a flag from a recording, if it has the flag."""
        async with self._changing_flag(call_id, flag):
            pass

    @asynccontextmanager
    async def _changing_flag(self, call_id: str, flag: str) -> AsyncIterator[AsyncConnection]:
        """Remove a flag, and yield the transaction's connection, to add it again."""
        with index_errors():
            async with self._writer.begin() as connection:
                own = flags.c.call_id == call_id, flags.c.flag == flag
                await connection.execute(delete(flags).where(*own))
                yield connection

    async def disposed(self, call_id: str, reason: str, at: float) -> None:
        """Store the disposal of a recording at `at` (Unix seconds), and remove its term and holds.

        An earlier disposal is kept.
        """
        own = disposals.c.call_id == call_id
        held = retentions.c.call_id == call_id, retentions.c.released.is_(None)
        with index_errors():
            async with self._writer.begin() as connection:
                if await connection.scalar(select(disposals.c.call_id).where(own)) is None:
                    row = {"call_id": call_id, "reason": reason, "at": at}
                    await connection.execute(insert(disposals).values(**row))
                await connection.execute(delete(terms).where(terms.c.call_id == call_id))
                await connection.execute(update(retentions).where(*held).values(released=at))


def _with_hold(custody: Custody, row: Any) -> Custody:
    """Return the custody with the facts of a row of `retentions` and its hold's reference."""
    if row.released is None:
        hold = HoldOfRecording(row.hold_id, row.reference, row.since)
        return replace(custody, holds=(*custody.holds, hold))
    return replace(custody, kept_until=max(custody.kept_until, row.kept_until or 0.0))


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
        """The word "closed" after `CapturedCards.close`, and "open" before."""
        return "open" if self.closed is None else "closed"


class CapturedCards:
    """The incidents of a node's recordings. Every method raises `CatalogueError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def of(self, call_ids: Collection[str]) -> dict[str, list[CapturedCard]]:
        """Return the incidents of these recordings (at most one page) by call id."""
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
        """Close a recording's open incidents. Incidents that were closed before do not change."""
        await self._write(
            update(captured_cards)
            .where(captured_cards.c.call_id == call_id, captured_cards.c.closed.is_(None))
            .values(closed=now, missing_trigger=missing_trigger, changed=changed)
        )

    async def _read(self, statement: Any) -> list[CapturedCard]:
        ordered = statement.order_by(captured_cards.c.call_id, captured_cards.c.from_us)
        with index_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(ordered)).all()
        return [CapturedCard(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's name for it

    async def _write(self, statement: Any) -> None:
        with index_errors():
            async with self._writer.begin() as connection:
                await connection.execute(statement)


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
