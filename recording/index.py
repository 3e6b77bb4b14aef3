"""The index: one row a recording, and its gaps, in the database; the archive holds the audio.

A row is written from what the finaliser says when a recording lies complete; writing it twice
changes nothing. Numbers stand here in E.164 where they are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

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
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.errors import CatalogueError

_PLACE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,17})?)/([0-9a-z-]{1,24})")
_PART = 2000
"""So many rows are read in one turn where all are wanted."""
_RARE = 2000
"""So many recordings are looked up and sorted in some milliseconds."""

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
    # Each index lies in the order of the list, so a page is read as it lies; and each has the
    # length, so that looking for a rare one passes over a million others without reading them.
    Index("recordings_by_start", "started", "call_id", "talk_us"),
    Index("recordings_by_number", "number", "started", "call_id", "talk_us"),
    Index("recordings_by_advisor", "advisor", "started", "call_id", "talk_us"),
    Index("recordings_by_line", "line", "started", "call_id", "talk_us"),
    Index("recordings_by_length", "talk_us", "call_id"),
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

# A call once for each reason, in the order of the list and with what is often asked for beside
# the reason: the filter reads this table as it lies, and of the other only what it shows.
gap_reasons = Table(
    "recording_gap_reasons",
    metadata,
    Column("reason", String(20), primary_key=True),
    Column("started", Float, primary_key=True),
    Column("call_id", String(24), ForeignKey("recordings.call_id"), primary_key=True),
    Column("talk_us", BigInteger, nullable=False),
    Column("line", String(100), nullable=False),
    Index("gap_reasons_by_call", "call_id"),
    sqlite_with_rowid=False,
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
class Place:
    """Where in the list a page ended: at the recording of this start and id.

    The list may grow or shrink meanwhile: what follows the place still follows it.
    """

    started: float
    call_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises:
            ValueError: it is no place.
        """
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError("no place in the list")
        return cls(float(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.started}/{self.call_id}"


@dataclass(frozen=True, slots=True)
class Page:
    """Recordings in the order asked for; `after` is where the next page begins, if any."""

    rows: tuple[Recording, ...]
    after: Place | None


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

    async def folders(self) -> dict[str, str]:
        """Where every recording lies, by call id; read in parts, so that others have their turn."""
        found: dict[str, str] = {}
        names: dict[str, str] = {}
        columns = select(recordings.c.call_id, recordings.c.folder).order_by(recordings.c.call_id)
        last = ""
        try:
            async with self._engine.connect() as connection:
                while True:
                    part = columns.where(recordings.c.call_id > last).limit(_PART)
                    rows = (await connection.execute(part)).all()
                    found.update((row[0], names.setdefault(row[1], row[1])) for row in rows)
                    if len(rows) < _PART:
                        return found
                    last = rows[-1][0]
        except SQLAlchemyError as error:
            raise _failed(error) from None

    async def search(self, filters: Filters, limit: int = 50, after: Place | None = None) -> Page:
        """Recordings that fit every filter given, the newest first; those that follow `after`."""
        rare = await self._is_of_rare_length(filters)
        rows = await self._read(searching(filters, after, rare=rare).limit(limit + 1))
        return _page(rows, limit)

    async def in_order(self, after: str, limit: int = 500) -> Page:
        """Recordings in rising order of call id, those whose id is greater than `after`."""
        statement = select(recordings).where(recordings.c.call_id > after)
        rows = await self._read(statement.order_by(recordings.c.call_id).limit(limit + 1))
        return _page(rows, limit)

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

    async def _is_of_rare_length(self, filters: Filters) -> bool:
        if filters.min_us is None and filters.max_us is None:
            return False
        lengths = select(literal(1)).where(*_lengths(recordings.c.talk_us, filters)).limit(_RARE)
        try:
            async with self._engine.connect() as connection:
                count = await connection.scalar(
                    select(func.count()).select_from(lengths.subquery())
                )
        except SQLAlchemyError as error:
            raise _failed(error) from None
        return int(count or 0) < _RARE

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


def _page(rows: list[Recording], limit: int) -> Page:
    """A page of rows, of which one more than the limit was read."""
    shown = tuple(rows[:limit])
    more = len(rows) > limit
    return Page(shown, Place(shown[-1].started, shown[-1].call_id) if more else None)


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
        key = {name: getattr(recording, name) for name in ("call_id", "started", "talk_us", "line")}
        reasons = sorted({gap.reason for gap in recording.gaps})
        await connection.execute(
            insert(gap_reasons), [{"reason": reason, **key} for reason in reasons]
        )


def searching(filters: Filters, after: Place | None = None, *, rare: bool = False) -> Select[Any]:
    """The statement that finds what fits, in order; each filter by the index that is for it.

    `rare`: few recordings are so long. Then these are sought out and sorted; else the list is
    read in its order until enough of them have come.
    """
    narrow = rare or any((filters.number, filters.advisor, filters.reference))
    statement = select(recordings)
    source = recordings
    if filters.gap_reason is not None and narrow:
        statement = statement.where(_has_gap(filters.gap_reason))
    elif filters.gap_reason is not None:
        source = gap_reasons
        statement = statement.join(source, source.c.call_id == recordings.c.call_id)
        statement = statement.where(source.c.reason == filters.gap_reason)
    at = source.c
    if after is not None:
        statement = statement.where(
            tuple_(at.started, at.call_id) < tuple_(literal(after.started), literal(after.call_id))
        )
    # An expression has no index: none is wanted for a length that is not rare, nor for the line
    # beside a narrow filter.
    line = at.line.concat("") if narrow else at.line
    if rare:
        others = recordings.alias("others")
        statement = statement.where(
            recordings.c.call_id.in_(
                select(others.c.call_id).where(*_lengths(others.c.talk_us, filters))
            )
        )
    conditions: tuple[tuple[Callable[[Any], ColumnElement[bool]], Any], ...] = (
        (recordings.c.number.__eq__, filters.number),
        (recordings.c.advisor.__eq__, filters.advisor),
        (_known_as, filters.reference),
        (line.__eq__, filters.line),
        (at.started.__ge__, filters.since),
        (at.started.__lt__, filters.until),
    )
    return statement.where(
        *(condition(value) for condition, value in conditions if value is not None),
        *_lengths(at.talk_us + 0, filters),
    ).order_by(at.started.desc(), at.call_id.desc())


def _lengths(talk_us: ColumnElement[int], filters: Filters) -> list[ColumnElement[bool]]:
    found = []
    if filters.min_us is not None:
        found.append(talk_us >= filters.min_us)
    if filters.max_us is not None:
        found.append(talk_us <= filters.max_us)
    return found


def _has_gap(reason: str) -> ColumnElement[bool]:
    return exists().where(
        gap_reasons.c.reason == reason,
        gap_reasons.c.started == recordings.c.started,
        gap_reasons.c.call_id == recordings.c.call_id,
    )


def _known_as(reference: str) -> ColumnElement[bool]:
    fetched = select(references.c.call_id).where(references.c.reference == reference)
    return recordings.c.call_id.in_(union_all(select(literal(reference)), fetched))


def _gap(row: Row[Any]) -> GapRow:
    return GapRow(**{name: getattr(row, name) for name in _GAP_FIELDS})


def _failed(error: SQLAlchemyError) -> CatalogueError:
    return CatalogueError(f"the index cannot be used: {type(error).__name__}")


_GAP_FIELDS = tuple(GapRow.__dataclass_fields__)
_FIELDS = tuple(name for name in Recording.__dataclass_fields__ if name != "gaps")
