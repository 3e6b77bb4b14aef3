"""The rows of the log of calls in the desk's database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.calls.log.logged_call import MISSED, CallPart, LoggedCall

metadata = MetaData()

logged_calls = Table(
    "logged_calls",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("started", Float, nullable=False),
    Column("answered", Float, nullable=False),
    Column("ended", Float, nullable=False),
    Column("line", String(100), nullable=False),
    Column("outgoing", Boolean, nullable=False),
    Column("internal", Boolean, nullable=False),
    # The number is removed after some hours: see `CallLog`.
    Column("number", String(64), nullable=False),
    Column("withheld", Boolean, nullable=False),
    Column("advisor", String(64), nullable=False),
    Column("extension", String(64), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("transfers", Integer, nullable=False),
    Column("destination", String(20), nullable=False),
    Column("talk_us", BigInteger, nullable=False),
    Column("pauses", Integer, nullable=False),
    Column("paused_us", BigInteger, nullable=False),
    Column("gaps", Integer, nullable=False),
    Column("language", String(2), nullable=False),
    Index("logged_calls_by_start", "started"),
    Index("logged_calls_by_number", "number", "started"),
    # Finds the calls that have not ended.
    Index("logged_calls_by_end", "ended"),
)

logged_parts = Table(
    "logged_parts",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", String(6), nullable=False),
    Column("user", String(64), nullable=False),
    Column("extension", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("destination", String(20), nullable=False),
    Column("result", String(10), nullable=False),
    Index("logged_parts_by_user", "user", "at"),
)


Rows = dict[str, LoggedCall]
MOST_IDS = 500
"""The most call ids, or numbers, in one SQL statement."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """The statements that read some calls and their parts. `ids` is their parameter."""

    calls: Select[Any]
    parts: Select[Any]

    @classmethod
    def where(cls, which: ColumnElement[bool]) -> _Selection:
        chosen = select(logged_calls.c.call_id).where(which)
        parts = select(logged_parts).where(logged_parts.c.call_id.in_(chosen))
        ordered = parts.order_by(logged_parts.c.call_id, logged_parts.c.position)
        return cls(select(logged_calls).where(which), ordered)


# The statements are made once, because SQLAlchemy needs more time for new ones.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OF_IDS = _Selection.where(logged_calls.c.call_id.in_(_IDS))
_IN_PROGRESS_TOO = _Selection.where(
    logged_calls.c.call_id.in_(_IDS) | (logged_calls.c.ended == 0.0)
)
_CLEAR = tuple(
    delete(table).where(table.c.call_id.in_(_IDS)) for table in (logged_parts, logged_calls)
)
_INSERT_CALLS, _INSERT_PARTS = insert(logged_calls), insert(logged_parts)
_MISSED_BY = (
    select(logged_parts.c.user)
    .join(logged_calls, logged_calls.c.call_id == logged_parts.c.call_id)
    .where(
        logged_calls.c.number.in_(bindparam("numbers", expanding=True)),
        logged_calls.c.outcome.in_(MISSED),
        logged_parts.c.user != "",
    )
    .distinct()
)


class CallStore:
    """The log of calls in a database. Each method but `change` is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def change(
        self,
        connection: AsyncConnection,
        call_ids: Collection[str],
        apply: Callable[[Rows], None],
        *,
        in_progress: bool = False,
    ) -> set[str]:
        """Change the rows of at most `MOST_IDS` calls; return the users whose day has changed.

        This is done in the transaction of `connection`. `apply` changes a dict of the rows that
        exist. With `in_progress`, the dict also has all calls that have not ended. An answered call
        also changes the day of users who missed a call with the same number.
        """
        which = _IN_PROGRESS_TOO if in_progress else _OF_IDS
        before = await _read(connection, which, call_ids)
        after = dict(before)
        apply(after)
        changed = [call for call_id, call in after.items() if before.get(call_id) != call]
        await _write(connection, changed)
        users = set[str]().union(*(call.users for call in changed if call.is_news))
        numbers = {call.number for call in changed if call.answered and call.number}
        return users | await _users_who_missed(connection, numbers)

    async def call(self, call_id: str) -> LoggedCall | None:
        """Return the row of one call; None if there is none."""
        async with self._engine.connect() as connection:
            rows = await _read(connection, _OF_IDS, [call_id])
        return rows.get(call_id)

    async def calls_with(self, number: str) -> dict[str, float]:
        """Return the start (Unix seconds) of each call whose number is still kept, by call id."""
        own = logged_calls.c
        statement = select(own.call_id, own.started).where(own.number == number)
        async with self._engine.connect() as connection:
            return {row.call_id: row.started for row in await connection.execute(statement)}

    async def some(self, call_ids: Collection[str]) -> Rows:
        """Return at most `MOST_IDS` calls by id; those that the log does not have are left out."""
        async with self._engine.connect() as connection:
            return await _read(connection, _OF_IDS, call_ids)

    async def forget_numbers(self, before: float) -> int:
        """Remove the numbers of all calls that began before this time; return how many had one."""
        return await self._forget((logged_calls.c.number != "", logged_calls.c.started < before))

    async def forget_number_of(self, call_id: str) -> None:
        """Remove the number of one call."""
        await self._forget((logged_calls.c.call_id == call_id,))

    async def _forget(self, which: Iterable[ColumnElement[bool]]) -> int:
        async with self._writer.begin() as connection:
            result = await connection.execute(
                update(logged_calls).where(*which).values(number="", withheld=False)
            )
        return result.rowcount

    async def remove(self, before: float) -> int:
        """Remove the rows of all calls that began before this time; return their number."""
        old = select(logged_calls.c.call_id).where(logged_calls.c.started < before)
        async with self._writer.begin() as connection:
            await connection.execute(delete(logged_parts).where(logged_parts.c.call_id.in_(old)))
            result = await connection.execute(
                delete(logged_calls).where(logged_calls.c.started < before)
            )
        return result.rowcount


async def _read(connection: AsyncConnection, which: _Selection, ids: Collection[str]) -> Rows:
    wanted = {"ids": list(ids)}
    parts: defaultdict[str, list[CallPart]] = defaultdict(list)
    for row in await connection.execute(which.parts, wanted):
        call_id, _position, *fields = row
        parts[call_id].append(CallPart(*fields))
    rows = await connection.execute(which.calls, wanted)
    return {
        row.call_id: LoggedCall(**row._mapping, parts=tuple(parts[row.call_id]))  # noqa: SLF001 - public, in spite of its name
        for row in rows
    }


async def _write(connection: AsyncConnection, calls: list[LoggedCall]) -> None:
    for at in range(0, len(calls), MOST_IDS):
        some = calls[at : at + MOST_IDS]
        ids = [call.call_id for call in some]
        for clear in _CLEAR:
            await connection.execute(clear, {"ids": ids})
        await connection.execute(_INSERT_CALLS, [_row(call) for call in some])
        parts = [
            {"call_id": call.call_id, "position": position, **msgspec.structs.asdict(part)}
            for call in some
            for position, part in enumerate(call.parts)
        ]
        if parts:
            await connection.execute(_INSERT_PARTS, parts)


def _row(call: LoggedCall) -> dict[str, Any]:
    row = msgspec.structs.asdict(call)
    del row["parts"]
    return row


async def _users_who_missed(connection: AsyncConnection, numbers: Collection[str]) -> set[str]:
    found = set[str]()
    wanted = sorted(numbers)
    for at in range(0, len(wanted), MOST_IDS):
        some = {"numbers": wanted[at : at + MOST_IDS]}
        found.update((await connection.execute(_MISSED_BY, some)).scalars())
    return found
