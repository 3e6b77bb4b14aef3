"""The terms of recordings: until when each is kept, and the versions of the rules that say so.

A version of the rules is a text, which this module does not interpret. The newest version in force
decides. A version that lets recordings go earlier waits until two people have approved it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    Integer,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.index.catalogue import index_errors, metadata
from recording.index.custody import captured_cards, disposals
from recording.index.search import Cursor
from recording.index.tables import flags, recordings, retentions, terms

versions = Table(
    "retention_versions",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("rules", Text, nullable=False),
    Column("stored", Float, nullable=False),
    # The first of the two people who approve the version; "" if none of them has.
    Column("approver", String(200), nullable=False, server_default=""),
    Column("in_force", Float),
    # When the version was replaced while it waited for approval. Its number is not used again.
    Column("withdrawn", Float),
)


@dataclass(frozen=True, slots=True)
class Term:
    """Until when a recording is kept: its category, and `due` (Unix seconds).

    `due` is None if people alone decide when it is disposed of. `version` is that of the rules.
    """

    call_id: str
    category: str
    due: float | None
    version: int


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """A version of the rules. Times are in Unix seconds; `in_force` is None while it waits.

    `approver` is the first of the two people who approve it, "" if none is needed or has approved.
    """

    version: int
    rules: str
    stored: float
    approver: str
    in_force: float | None


@dataclass(frozen=True, slots=True)
class TermFacts:
    """The facts about a recording that decide its term, and its present term, if it has one."""

    call_id: str
    ended: float
    """The end of the recorded call in Unix seconds."""
    line: str
    is_known: bool
    """False if the number, the line, the advisor and the extension are lost, or not yet known."""
    purpose: str
    flags: tuple[str, ...]
    term: Term | None


@dataclass(frozen=True, slots=True)
class DueCount:
    """The recordings of a category that are due in a period, and those that are kept longer.

    A recording that is kept is counted once: as retained, else as restricted, else as one with an
    open incident of a captured card.
    """

    category: str
    recordings: int
    retained: int
    restricted: int
    incidents: int
    first: float
    """When the first of them is due (Unix seconds). It can be in the past."""


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """The number of recordings in a category that were not disposed of."""

    category: str
    recordings: int


_CLEAR = delete(terms).where(terms.c.call_id == bindparam("own"))
_RESTRICTED = exists().where(flags.c.call_id == terms.c.call_id, flags.c.flag == "restricted")
_INCIDENT = exists().where(
    captured_cards.c.call_id == terms.c.call_id, captured_cards.c.closed.is_(None)
)
_NOT_DISPOSED = ~exists().where(disposals.c.call_id == terms.c.call_id)


def _retained(at: float) -> ColumnElement[bool]:
    """Return whether a recording is retained, or `at` (Unix seconds) is too soon after that."""
    return exists().where(
        retentions.c.call_id == terms.c.call_id,
        or_(retentions.c.released.is_(None), retentions.c.kept_until > at),
    )


def _may_go(at: float) -> tuple[ColumnElement[bool], ...]:
    return _NOT_DISPOSED, ~_retained(at), ~_RESTRICTED, ~_INCIDENT


class Terms:
    """Stores the terms of recordings and the versions of rules. Methods raise `CatalogueError`.

    `notes` is the table with the column `purpose` of each call's contact note.
    """

    def __init__(self, engine: AsyncEngine, notes: Table) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._facts = (
            select(
                recordings.c.call_id,
                (recordings.c.started + recordings.c.talk_us / 1_000_000.0).label("ended"),
                recordings.c.line,
                or_(
                    *(recordings.c[name] != "" for name in ("number", "line", "advisor")),
                    recordings.c.extension != "",
                ).label("is_known"),
                func.coalesce(notes.c.purpose, "").label("purpose"),
                terms.c.category,
                terms.c.due,
                terms.c.version,
            )
            .outerjoin(notes, notes.c.call_id == recordings.c.call_id)
            .outerjoin(terms, terms.c.call_id == recordings.c.call_id)
            .where(~exists().where(disposals.c.call_id == recordings.c.call_id))
        )

    async def facts_after(
        self, call_id: str, limit: int, outdated: int | None = None
    ) -> list[TermFacts]:
        """Return the facts of recordings that were not disposed of, by call id after `call_id`.

        With `outdated`, the number of a version, only recordings without a term of it are returned.
        """
        which = recordings.c.call_id > call_id
        if outdated is not None:
            which &= or_(terms.c.version.is_(None), terms.c.version != outdated)
        return await self._read(which, limit)

    async def facts_of(self, call_ids: Collection[str]) -> list[TermFacts]:
        """Return the facts of these recordings, as `facts_after` does. At most 500 ids."""
        return await self._read(recordings.c.call_id.in_(call_ids), len(call_ids))

    async def _read(self, which: ColumnElement[bool], limit: int) -> list[TermFacts]:
        statement = self._facts.where(which).order_by(recordings.c.call_id).limit(limit)
        with index_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
                flagged = await _flags(connection, [row.call_id for row in rows])
        return [
            TermFacts(
                row.call_id,
                row.ended,
                row.line,
                bool(row.is_known),
                row.purpose,
                tuple(flagged.get(row.call_id, ())),
                None
                if row.version is None
                else Term(row.call_id, row.category, row.due, row.version),
            )
            for row in rows
        ]

    async def put(self, new: Sequence[Term]) -> None:
        """Write the terms of recordings in place of their earlier ones."""
        if not new:
            return
        rows = [asdict(each) for each in new]
        with index_errors():
            async with self._writer.begin() as connection:
                await connection.execute(_CLEAR, [{"own": each.call_id} for each in new])
                await connection.execute(insert(terms), rows)

    async def due(self, now: float, limit: int, after: Cursor | None) -> list[Cursor]:
        """Return the recordings whose term is over at `now` (Unix seconds), the earliest first.

        The list begins after the place `after`. Recordings that are retained or restricted, or have
        an open incident of a captured card, are left out.
        """
        statement = (
            select(terms.c.due, terms.c.call_id)
            .where(terms.c.due <= now, *_may_go(now))
            .order_by(terms.c.due, terms.c.call_id)
            .limit(limit)
        )
        if after is not None:
            place = tuple_(literal(after.at), literal(after.call_id))
            statement = statement.where(tuple_(terms.c.due, terms.c.call_id) > place)
        with index_errors():
            async with self._engine.connect() as connection:
                return [Cursor(*row) for row in await connection.execute(statement)]

    async def is_due(self, call_id: str, now: float) -> bool:
        """Return whether a recording's term is over, and nothing keeps it, as for `due`."""
        statement = select(terms.c.call_id).where(
            terms.c.call_id == call_id, terms.c.due <= now, *_may_go(now)
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return await connection.scalar(statement) is not None

    async def plan(self, until: float) -> list[DueCount]:
        """Return the counts of recordings that are due before `until` (Unix seconds)."""
        retained = _retained(until)
        statement = (
            select(
                terms.c.category,
                func.count(),
                func.sum(_one_if(retained)),
                func.sum(_one_if(and_(~retained, _RESTRICTED))),
                func.sum(_one_if(and_(~retained, ~_RESTRICTED, _INCIDENT))),
                func.min(terms.c.due),
            )
            .where(terms.c.due < until, _NOT_DISPOSED)
            .group_by(terms.c.category)
            .order_by(terms.c.category)
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return [DueCount(*row) for row in await connection.execute(statement)]

    async def by_category(self) -> list[CategoryCount]:
        """Return the number of recordings in each category."""
        statement = (
            select(terms.c.category, func.count())
            .where(_NOT_DISPOSED)
            .group_by(terms.c.category)
            .order_by(terms.c.category)
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return [CategoryCount(*row) for row in await connection.execute(statement)]

    async def is_empty(self) -> bool:
        """Return whether no recording is in the index, except those that were disposed of."""
        return not await self.facts_after("", 1)

    async def one(self, call_id: str) -> Term | None:
        """Return the term of a recording; None if it has none yet, or was disposed of."""
        found = await self.facts_of([call_id])
        return found[0].term if found else None

    async def in_force(self) -> RulesVersion | None:
        """Return the version of the rules that is in force; None if there is none."""
        return await self._version(versions.c.in_force.is_not(None))

    async def waiting(self) -> RulesVersion | None:
        """Return the version of the rules that waits for approval; None if none waits."""
        return await self._version(
            and_(versions.c.in_force.is_(None), versions.c.withdrawn.is_(None))
        )

    async def _version(self, which: ColumnElement[bool]) -> RulesVersion | None:
        statement = select(versions).where(which).order_by(versions.c.version.desc()).limit(1)
        with index_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).first()
        return None if row is None else RulesVersion(*row[:5])

    async def add_version(
        self, connection: AsyncConnection, rules: str, now: float, *, in_force: bool
    ) -> int:
        """Store a version of the rules, in force or waiting, and return its number.

        A version that waited before is withdrawn. The caller commits the transaction.
        """
        await self.withdraw(connection, now)
        last = await connection.scalar(select(func.max(versions.c.version)))
        number = (last or 0) + 1
        await connection.execute(
            insert(versions).values(
                version=number, rules=rules, stored=now, in_force=now if in_force else None
            )
        )
        return number

    async def withdraw(self, connection: AsyncConnection, now: float) -> None:
        """Withdraw the version that waits for approval, if one does. The caller commits."""
        waiting = versions.c.in_force.is_(None), versions.c.withdrawn.is_(None)
        await connection.execute(update(versions).where(*waiting).values(withdrawn=now))

    async def approve(
        self, connection: AsyncConnection, version: int, approver: str, in_force: float | None
    ) -> None:
        """Store the first approver of a version, or with `in_force` put it in force.

        The caller commits.
        """
        own = versions.c.version == version
        new: dict[str, object] = {"approver": approver}
        if in_force is not None:
            new = {"in_force": in_force}
        await connection.execute(update(versions).where(own).values(**new))


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


async def _flags(connection: AsyncConnection, call_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    statement = select(flags.c.call_id, flags.c.flag).where(flags.c.call_id.in_(call_ids))
    for call_id, flag in await connection.execute(statement.order_by(flags.c.flag)):
        found.setdefault(call_id, []).append(flag)
    return found
