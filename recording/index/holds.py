"""Legal holds: the cases for which recordings are retained, and their release by two people.

A recording can have several holds, and is retained while at least one of them has it. A hold can
name a number: then each later call of this number is retained, too. A recording whose term is over
is not disposed of at once when it is released, but only some days later.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    union,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.index.catalogue import index_errors
from recording.index.custody import disposals
from recording.index.tables import (
    hold_releases,
    later_callers,
    legal_holds,
    recordings,
    retentions,
)

WHOLE = ""
"""The call id in a request to release the whole hold."""


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A legal hold, and the number of recordings that it retains. Times are in Unix seconds.

    `review` is a date, such as "2027-06-01". Calls of `number` are retained as they come in. If a
    person has asked to release the whole hold, `asked_by` is their name and `asked_for` the reason;
    both are "" without a request. `version` counts the changes.
    """

    hold_id: int
    reference: str
    reason: str
    owner: str
    review: str
    number: str | None
    opened: float
    released: float | None
    version: int
    recordings: int
    asked_by: str
    asked_for: str


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A request to release a hold or one of its recordings, which waits for a second person."""

    call_id: str
    """`WHOLE` for the whole hold."""
    asked_by: str
    reason: str


class LegalHolds:
    """Reads legal holds. Every method raises `CatalogueError`.

    The functions below write them, in a transaction of their caller.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self, *, released: bool = False) -> list[LegalHold]:
        """Return the holds, those with the earliest review first; with `released`, all holds."""
        statement = _statement().order_by(legal_holds.c.review, legal_holds.c.hold_id)
        if not released:
            statement = statement.where(legal_holds.c.released.is_(None))
        return await self._read(statement)

    async def one(self, hold_id: int) -> LegalHold | None:
        """Return a hold; None if no hold has this number."""
        found = await self._read(_statement().where(legal_holds.c.hold_id == hold_id))
        return found[0] if found else None

    async def _read(self, statement: Select[Any]) -> list[LegalHold]:
        with index_errors():
            async with self._engine.connect() as connection:
                return [LegalHold(*row) for row in await connection.execute(statement)]

    async def requests(self, hold_id: int) -> list[ReleaseRequest]:
        """Return the requests to release this hold, or recordings of it."""
        statement = (
            select(hold_releases.c.call_id, hold_releases.c.asked_by, hold_releases.c.reason)
            .where(hold_releases.c.hold_id == hold_id)
            .order_by(hold_releases.c.call_id)
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return [ReleaseRequest(*row) for row in await connection.execute(statement)]

    async def count_for_review(self, day: str) -> int:
        """Return the number of holds whose date of review is `day` or earlier."""
        open_ones = select(func.count()).where(
            legal_holds.c.released.is_(None), legal_holds.c.review <= day
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return await connection.scalar(open_ones) or 0


def _statement() -> Select[Any]:
    own = legal_holds.c
    count = (
        select(func.count())
        .where(retentions.c.hold_id == own.hold_id, retentions.c.released.is_(None))
        .scalar_subquery()
    )
    request = and_(hold_releases.c.hold_id == own.hold_id, hold_releases.c.call_id == WHOLE)
    return select(
        own.hold_id,
        own.reference,
        own.reason,
        own.owner,
        own.review,
        own.number,
        own.opened,
        own.released,
        own.version,
        count,
        func.coalesce(hold_releases.c.asked_by, ""),
        func.coalesce(hold_releases.c.reason, ""),
    ).outerjoin(hold_releases, request)


async def open_hold(
    connection: AsyncConnection,
    *,
    reference: str,
    reason: str,
    owner: str,
    review: str,
    number: str | None,
    now: float,
) -> int:
    """Store a new hold without recordings, and return its number. The caller commits."""
    row = {
        "reference": reference,
        "reason": reason,
        "owner": owner,
        "review": review,
        "number": number,
        "opened": now,
        "version": 1,
    }
    statement = insert(legal_holds).values(**row).returning(legal_holds.c.hold_id)
    return int((await connection.execute(statement)).scalar_one())


async def change_hold(
    connection: AsyncConnection, hold_id: int, version: int | None, **values: object
) -> bool:
    """Change a hold and its version. The caller commits.

    Return False if the hold was released, or has another version than `version`. With None, the
    version does not matter.
    """
    own = legal_holds.c
    which = [own.hold_id == hold_id, own.released.is_(None)]
    if version is not None:
        which.append(own.version == version)
    statement = update(legal_holds).where(*which).values(version=own.version + 1, **values)
    return (await connection.execute(statement)).rowcount > 0


async def withdraw_releases(connection: AsyncConnection, hold_id: int) -> None:
    """Withdraw the requests to release a hold or recordings of it. The caller commits."""
    await connection.execute(delete(hold_releases).where(hold_releases.c.hold_id == hold_id))


async def retain(
    connection: AsyncConnection, hold_id: int, call_ids: Collection[str], now: float
) -> list[str]:
    """Retain recordings for a hold; return those that it did not retain yet.

    A recording that was released from this hold before is retained again. The caller commits.
    """
    held = retentions.c.hold_id == hold_id, retentions.c.call_id.in_(call_ids)
    rows = await connection.scalars(
        select(retentions.c.call_id).where(*held, retentions.c.released.is_(None))
    )
    new = sorted(set(call_ids) - set(rows))
    if new:
        again = retentions.c.hold_id == hold_id, retentions.c.call_id.in_(new)
        await connection.execute(delete(retentions).where(*again))
        started = await connection.execute(
            select(recordings.c.call_id, recordings.c.started).where(recordings.c.call_id.in_(new))
        )
        values = [{**row, "hold_id": hold_id, "since": now} for row in started.mappings()]
        await connection.execute(insert(retentions), values)
    return new


async def retain_new_calls(
    connection: AsyncConnection, call_ids: Collection[str], now: float
) -> list[tuple[str, int]]:
    """Retain each of these recordings for the holds that name a number of its callers.

    Return the call ids with the number of the hold, except those that were in the hold before.
    Requests to release such a hold are withdrawn. The caller commits. Raises `SQLAlchemyError`.
    """
    numbers = (
        select(table.c.call_id, table.c.number).where(table.c.call_id.in_(call_ids))
        for table in (recordings, later_callers)
    )
    callers = union(*numbers).subquery()
    known = exists().where(
        retentions.c.call_id == callers.c.call_id, retentions.c.hold_id == legal_holds.c.hold_id
    )
    gone = exists().where(disposals.c.call_id == callers.c.call_id)
    statement = (
        select(callers.c.call_id, legal_holds.c.hold_id, recordings.c.started)
        .join(legal_holds, legal_holds.c.number == callers.c.number)
        .join(recordings, recordings.c.call_id == callers.c.call_id)
        .where(legal_holds.c.released.is_(None), ~known, ~gone)
    )
    found = (await connection.execute(statement)).mappings().all()
    if found:
        await connection.execute(insert(retentions), [{**row, "since": now} for row in found])
    for hold_id in {row["hold_id"] for row in found}:
        await change_hold(connection, hold_id, None)
        await withdraw_releases(connection, hold_id)
    return [(row["call_id"], row["hold_id"]) for row in found]


async def ask_for_release(
    connection: AsyncConnection, hold_id: int, call_id: str, actor: str, reason: str
) -> None:
    """Store a request to release a hold (`WHOLE`) or one of its recordings. The caller commits.

    It replaces an earlier request for the same.
    """
    own = hold_releases.c.hold_id == hold_id, hold_releases.c.call_id == call_id
    await connection.execute(delete(hold_releases).where(*own))
    row = {"hold_id": hold_id, "call_id": call_id, "asked_by": actor, "reason": reason}
    await connection.execute(insert(hold_releases).values(**row))


async def release(
    connection: AsyncConnection, hold_id: int, call_id: str, now: float, kept_until: float
) -> None:
    """Release a hold (`WHOLE`) or one of its recordings. The caller commits.

    The recordings are not disposed of as outdated before `kept_until` (Unix seconds). With the
    whole hold, its number is erased.
    """
    which: list[ColumnElement[bool]] = [
        retentions.c.hold_id == hold_id,
        retentions.c.released.is_(None),
    ]
    requests = [hold_releases.c.hold_id == hold_id]
    if call_id == WHOLE:
        over = update(legal_holds).where(legal_holds.c.hold_id == hold_id)
        await connection.execute(over.values(released=now, number=None))
    else:
        which.append(retentions.c.call_id == call_id)
        requests.append(hold_releases.c.call_id == call_id)
    await connection.execute(
        update(retentions).where(*which).values(released=now, kept_until=kept_until)
    )
    await connection.execute(delete(hold_releases).where(*requests))
