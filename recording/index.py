"""The index: one row a recording, and its gaps, in the database; the archive holds the audio.

A row is written from what the finaliser says when a recording lies complete; writing it twice
changes nothing. Numbers stand here in E.164 where they are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    delete,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.errors import CatalogueError

metadata = MetaData()

recordings = Table(
    "recordings",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("folder", String(100), nullable=False),
    Column("started", Float, nullable=False),
    Column("talk_us", BigInteger, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("number", String(64)),
    Column("line", String(100), nullable=False),
    Column("advisor", String(100), nullable=False),
    Column("extension", String(20), nullable=False),
    Column("payload_size", BigInteger, nullable=False),
    Column("payload_sha256", String(64), nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("unexplained_us", BigInteger, nullable=False),
    Index("recordings_by_start", "started", "call_id"),
    Index("recordings_by_number", "number", "started"),
    Index("recordings_by_advisor", "advisor", "started"),
    Index("recordings_by_line", "line", "started"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("reason", String(20), nullable=False),
    Column("trigger", String(20), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger, nullable=False),
)

# A call once for each reason, in the order of the list: a filter by reason reads it as it lies.
gap_reasons = Table(
    "recording_gap_reasons",
    metadata,
    Column("reason", String(20), primary_key=True),
    Column("started", Float, primary_key=True),
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Index("gap_reasons_by_call", "call_id"),
)

references = Table(
    "recording_references",
    metadata,
    Column("reference", String(200), primary_key=True),
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
)


@dataclass(frozen=True, slots=True)
class GapRow:
    """Talk time that was not recorded, in microseconds since the recording's start."""

    reason: str
    trigger: str
    actor: str
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording; `started` in Unix seconds, `folder` relative to the archive."""

    call_id: str
    folder: str
    started: float
    talk_us: int
    interrupted: bool
    number: str | None
    line: str
    advisor: str
    extension: str
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    unexplained_us: int = 0
    gaps: tuple[GapRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Filters:
    """What `search` looks for; None means "any".

    `reference` is a call id, or a reference under which the recording was fetched. Lengths
    are talk time in microseconds; `since` ≤ started < `until` in Unix seconds.
    """

    number: str | None = None
    advisor: str | None = None
    line: str | None = None
    since: float | None = None
    until: float | None = None
    min_us: int | None = None
    max_us: int | None = None
    gap_reason: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Recordings in falling order of start; `more` when another page follows."""

    rows: tuple[Recording, ...]
    more: bool


class Catalogue:
    """The index of one site.

    Every method raises `CatalogueError` when the database fails.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def add(self, recording: Recording) -> bool:
        """Write the row and its gaps, replacing an earlier writing; False when it was there."""
        fields = {name: getattr(recording, name) for name in _FIELDS}
        try:
            async with self._writer.begin() as connection:
                known = await connection.scalar(
                    select(recordings.c.call_id).where(recordings.c.call_id == recording.call_id)
                )
                if known is None:
                    await connection.execute(insert(recordings).values(**fields))
                else:
                    await connection.execute(
                        recordings.update()
                        .where(recordings.c.call_id == recording.call_id)
                        .values(**fields)
                    )
                    for table in (gaps, gap_reasons):
                        await connection.execute(
                            delete(table).where(table.c.call_id == recording.call_id)
                        )
                await _add_gaps(connection, recording)
        except SQLAlchemyError as error:
            raise _failed(error) from None
        return known is None

    async def get(self, call_id: str) -> Recording | None:
        """One recording by its call id."""
        statement = select(recordings).where(recordings.c.call_id == call_id)
        rows = await self._read(statement)
        return rows[0] if rows else None

    async def search(self, filters: Filters, limit: int = 50, offset: int = 0) -> Page:
        """Recordings that fit every filter given, the newest first."""
        order: Table = recordings
        statement = _where(select(recordings), filters)
        if filters.gap_reason is not None:
            order = gap_reasons
            statement = statement.join(gap_reasons, gap_reasons.c.call_id == recordings.c.call_id)
        statement = statement.order_by(order.c.started.desc(), order.c.call_id.desc())
        rows = await self._read(statement.limit(limit + 1).offset(offset))
        return Page(tuple(rows[:limit]), len(rows) > limit)

    async def refer(self, call_id: str, reference: str) -> None:
        """Remember that the recording was fetched under this reference."""
        try:
            async with self._writer.begin() as connection:
                known = await connection.scalar(
                    select(references.c.call_id).where(
                        references.c.reference == reference, references.c.call_id == call_id
                    )
                )
                if known is None:
                    await connection.execute(
                        insert(references).values(reference=reference, call_id=call_id)
                    )
        except SQLAlchemyError as error:
            raise _failed(error) from None

    async def _read(self, statement: Select[Any]) -> list[Recording]:
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
                found = await connection.execute(
                    select(gaps)
                    .where(gaps.c.call_id.in_([row.call_id for row in rows]))
                    .order_by(gaps.c.call_id, gaps.c.position)
                )
                by_call: dict[str, list[GapRow]] = {}
                for gap in found:
                    by_call.setdefault(gap.call_id, []).append(_gap(gap))
        except SQLAlchemyError as error:
            raise _failed(error) from None
        return [
            Recording(
                **{name: getattr(row, name) for name in _FIELDS},
                gaps=tuple(by_call.get(row.call_id, ())),
            )
            for row in rows
        ]


async def _add_gaps(connection: AsyncConnection, recording: Recording) -> None:
    rows = [
        {
            "call_id": recording.call_id,
            "position": position,
            **{name: getattr(gap, name) for name in _GAP_FIELDS},
        }
        for position, gap in enumerate(recording.gaps)
    ]
    if rows:
        await connection.execute(insert(gaps), rows)
        key = {"call_id": recording.call_id, "started": recording.started}
        reasons = sorted({gap.reason for gap in recording.gaps})
        await connection.execute(
            insert(gap_reasons), [{"reason": reason, **key} for reason in reasons]
        )


def _known_as(reference: str) -> ColumnElement[bool]:
    fetched = select(references.c.call_id).where(references.c.reference == reference)
    return recordings.c.call_id.in_(union_all(select(literal(reference)), fetched))


_CONDITIONS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "number": recordings.c.number.__eq__,
    "advisor": recordings.c.advisor.__eq__,
    "line": recordings.c.line.__eq__,
    "since": recordings.c.started.__ge__,
    "until": recordings.c.started.__lt__,
    "min_us": recordings.c.talk_us.__ge__,
    "max_us": recordings.c.talk_us.__le__,
    "gap_reason": gap_reasons.c.reason.__eq__,
    "reference": _known_as,
}


def _where(statement: Select[Any], filters: Filters) -> Select[Any]:
    given = {name: getattr(filters, name) for name in _CONDITIONS}
    return statement.where(
        *(_CONDITIONS[name](value) for name, value in given.items() if value is not None)
    )


def _gap(row: Row[Any]) -> GapRow:
    return GapRow(**{name: getattr(row, name) for name in _GAP_FIELDS})


def _failed(error: SQLAlchemyError) -> CatalogueError:
    return CatalogueError(f"the index cannot be used: {type(error).__name__}")


_GAP_FIELDS = tuple(GapRow.__dataclass_fields__)
_FIELDS = tuple(name for name in Recording.__dataclass_fields__ if name != "gaps")
