"""The ledger (a table of answered calls), and a table of the coverage problems already found.

The switch reports the answered calls, independently of spools and archive. So the ledger shows
which recordings must exist; `recording.index.coverage` checks that they do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Row,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.errors import CatalogueError
from recording.index.catalogue import index_errors, metadata

_BATCH = 1000
"""The most call ids that one SQL statement reads."""

answered_calls = Table(
    "answered_calls",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("answered", Float, nullable=False, index=True),
    Column("ended", Float),
    Column("talk_us", BigInteger),
)

_INSERT = insert(answered_calls)
_END = (
    update(answered_calls)
    .where(answered_calls.c.call_id == bindparam("own"))
    .values(ended=bindparam("to"), talk_us=bindparam("long"))
)

findings = Table(
    "coverage_findings",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("first_seen", Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """An answered call that must have a recording. Times are in Unix seconds.

    `ended` is None while the call is in progress. `talk_us` is its length by the switch's monotonic
    clock; None if the switch did not report it.
    """

    call_id: str
    answered: float
    ended: float | None = None
    talk_us: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A call was answered at `at` (Unix seconds), and must have a recording."""

    call_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a call. A call that the ledger does not have is added only if `new`."""

    call: AnsweredCall
    new: bool


@dataclass(frozen=True, slots=True)
class OthersEnded:
    """Each call in the ledger that has no end and is not in `going_on` has ended.

    It ended while the desk was not connected to the switch, so `at` (Unix seconds) is its end.
    """

    going_on: frozenset[str]
    at: float


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A call counts as not answered, because the PBX kept another call for the same caller.

    The call's row is removed, unless the call has ended and so is in the audit chain.
    """

    call_id: str


LedgerEntry: TypeAlias = Answered | Ended | OthersEnded | Withdrawn


class Ledger:
    """The answered calls of one node. Every method raises `CatalogueError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def between(self, since: float, until: float) -> list[AnsweredCall]:
        """Return the calls answered from `since` to before `until` (Unix seconds), oldest first."""
        table = answered_calls.c
        statement = (
            select(answered_calls)
            .where(table.answered >= since, table.answered < until)
            .order_by(table.answered)
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return [_checked(row) for row in await connection.execute(statement)]

    async def knows(self, call_ids: Iterable[str]) -> set[str]:
        """Return the `call_ids` that are in the ledger."""
        wanted, call_id = list(call_ids), answered_calls.c.call_id
        known: set[str] = set()
        with index_errors():
            async with self._engine.connect() as connection:
                for start in range(0, len(wanted), _BATCH):
                    part = select(call_id).where(call_id.in_(wanted[start : start + _BATCH]))
                    known.update((await connection.scalars(part)).all())
        return known

    async def new_findings(self, found: Collection[str], at: float) -> set[str]:
        """Return the findings of a coverage check that are not known yet, and add them.

        A known finding that is not in `found` is deleted. `at` is in Unix seconds.
        """
        with index_errors():
            async with self._writer.begin() as connection:
                known = set((await connection.scalars(select(findings.c.key))).all())
                for key in known.difference(found):
                    await connection.execute(delete(findings).where(findings.c.key == key))
                fresh = set(found) - known
                for key in sorted(fresh):
                    await connection.execute(insert(findings).values(key=key, first_seen=at))
        return fresh

    async def mark_known(self, finding: str, at: float) -> None:
        """Add a finding at `at` (Unix seconds), unless it is known already."""
        with index_errors():
            async with self._writer.begin() as connection:
                statement = select(findings.c.key).where(findings.c.key == finding)
                if await connection.scalar(statement) is None:
                    await connection.execute(insert(findings).values(key=finding, first_seen=at))


async def write(connection: AsyncConnection, entries: Sequence[LedgerEntry]) -> list[AnsweredCall]:
    """Write the entries in the given order, in the transaction of `connection`.

    Return the calls whose end is new or was changed. Raises `SQLAlchemyError`.
    """
    before = await _rows_of(connection, entries)
    after = dict(before)
    ended: dict[str, None] = {}
    for entry in entries:
        match entry:
            case Answered(call_id, at):
                after.setdefault(call_id, AnsweredCall(call_id, at))
            case Ended(call, new):
                if _end(after, call, new=new):
                    ended[call.call_id] = None
            case OthersEnded(going_on, at):
                for row in tuple(after.values()):
                    if row.ended is None and row.call_id not in going_on:
                        after[row.call_id] = replace(row, ended=at)
                        ended[row.call_id] = None
            case Withdrawn(call_id):
                if call_id in after and after[call_id].ended is None:
                    del after[call_id]
    await _store(connection, before, after)
    return [after[call_id] for call_id in ended]


async def _store(
    connection: AsyncConnection,
    before: Mapping[str, AnsweredCall],
    after: Mapping[str, AnsweredCall],
) -> None:
    added = [asdict(row) for call_id, row in after.items() if call_id not in before]
    changed = [
        {"own": call_id, "to": row.ended, "long": row.talk_us}
        for call_id, row in after.items()
        if call_id in before and row != before[call_id]
    ]
    if added:
        await connection.execute(_INSERT, added)
    if changed:
        await connection.execute(_END, changed)
    gone = before.keys() - after.keys()
    if gone:
        await connection.execute(delete(answered_calls).where(answered_calls.c.call_id.in_(gone)))


def _end(rows: dict[str, AnsweredCall], call: AnsweredCall, *, new: bool) -> bool:
    """Enter a call's end. Return True if it is new or was changed."""
    row = rows.get(call.call_id)
    if row is None and new:
        rows[call.call_id] = call
        return call.ended is not None
    if row is None or call.ended is None or (row.ended, row.talk_us) == (call.ended, call.talk_us):
        return False
    rows[call.call_id] = replace(row, ended=call.ended, talk_us=call.talk_us)
    return True


async def _rows_of(
    connection: AsyncConnection, entries: Sequence[LedgerEntry]
) -> dict[str, AnsweredCall]:
    wanted: dict[str, None] = {}
    conditions = []
    for entry in entries:
        match entry:
            case Answered(call_id) | Withdrawn(call_id):
                wanted[call_id] = None
            case Ended(call):
                wanted[call.call_id] = None
            case OthersEnded():
                conditions = [answered_calls.c.ended.is_(None)]
    ids = list(wanted)
    for start in range(0, len(ids), _BATCH):
        conditions.append(answered_calls.c.call_id.in_(ids[start : start + _BATCH]))
    found = {}
    for condition in conditions:
        for row in await connection.execute(select(answered_calls).where(condition)):
            found[row.call_id] = _call(row)
    return found


def _call(row: Row[Any]) -> AnsweredCall:
    return AnsweredCall(**{name: getattr(row, name) for name in _FIELDS})


def _checked(row: Row[Any]) -> AnsweredCall:
    """Return a row of the ledger; raise `CatalogueError` if a value has the wrong type."""
    try:
        return msgspec.convert({name: getattr(row, name) for name in _FIELDS}, AnsweredCall)
    except msgspec.ValidationError as error:
        raise CatalogueError(
            f"the ledger cannot be used: the row of {row.call_id} was changed: {error}"
        ) from None


_FIELDS = tuple(AnsweredCall.__dataclass_fields__)
