"""The audit log: who did what, as one append-only hash chain for each node.

An entry's hash covers its body and the hash before it. Personal values are not in the chain. The
chain holds salted commitments; values and salts are in separate rows, and the chain stays valid
without them. Nothing here deletes such rows. Each day's key (`recording.audit.day_key`) signs the
head and the next day's public key and is then destroyed, so that a person who controls the server
today cannot rewrite yesterday. The chain proves no more than this: tampering before the last anchor
is detectable.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    Text,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.audit.chain import (
    DAY_KEY,
    DAY_US,
    GENESIS,
    ChainChecker,
    ChainEntry,
    ChainVerification,
    Head,
    canonical,
    chained,
    commitment,
    day_key_text,
)
from recording.audit.day_key import DayKeys, public_hex
from recording.errors import AuditError, reason_of
from recording.index.catalogue import metadata

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("node", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_entries_by_kind", "node", "kind", "seq"),
)

audit_values = Table(
    "audit_values",
    metadata,
    Column("node", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("name", String(40), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", Text, nullable=False),
)

_US = 1_000_000
_AHEAD_DAYS = 7
"""A day key dated this many days ahead, or more, is from a wrong clock: it is replaced at once."""

Facts = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry as read back; erased personal values are absent from `personal`."""

    seq: int
    at_us: int
    kind: str
    facts: dict[str, str | int | bool]
    personal: dict[str, str]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The entries to search for. An empty field, or None, matches anything.

    `actor` is an actor that the entry names and that is not erased; `since` ≤ time < `until`, in
    Unix seconds.
    """

    kind: str = ""
    call_id: str = ""
    actor: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class _Event:
    at_us: int
    kind: str
    facts: Facts
    personal: Mapping[str, str]


class AuditLog:
    """Appends to one node's chain. Several processes may do so, one transaction at a time.

    Every method raises `AuditError` when the database fails.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        node: str,
        key: Path,
        clock: Callable[[], float] = time.time,
        on_cut: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare to append.

        `on_cut` receives the number of a new entry before which entries were removed.
        """
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._node = node
        self._keys = DayKeys(key)
        self._clock = clock
        self._on_cut = on_cut

    async def append(
        self,
        kind: str,
        facts: Facts | None = None,
        personal: Mapping[str, str] | None = None,
        *,
        at: float | None = None,
    ) -> Head:
        """Write one entry; when this returns, it is committed.

        Args:
            kind: An event name, such as `recording.fetched`.
            facts: The facts that are not personal; they stay in the chain for ever.
            personal: Names, numbers, addresses. The chain has only commitments to them; they can be
                erased.
            at: When it happened (Unix seconds); None means now.

        Raises:
            AuditError: The entry could not be written; the action that it records must not happen.
        """
        at_us = int((self._clock() if at is None else at) * _US)
        try:
            async with self._writer.begin() as connection:
                last, taken = await self._last(connection)
                head, rolled = await self._roll_day_key(connection, Head(taken, last.hash), at_us)
                event = _Event(at_us, kind, facts or {}, personal or {})
                head = await self._write(connection, head, event)
            if rolled:
                self._keys.rotate()
        except (SQLAlchemyError, OSError) as error:
            raise AuditError(f"the audit cannot be written: {reason_of(error)}") from None
        if taken > last.seq:
            self._on_cut(taken + 1)
        return head

    async def _last(self, connection: AsyncConnection) -> tuple[Head, int]:
        """Return the last entry, and the last number that is in use.

        They differ if entries were removed and their values were left. These values stay: a new
        entry under such a number could not be written, or would seem to own them.
        """
        entries, values = audit_entries.c, audit_values.c
        statement = (
            select(entries.seq, entries.hash)
            .where(entries.node == self._node)
            .order_by(entries.seq.desc())
            .limit(1)
        )
        row = (await connection.execute(statement)).first()
        last = Head(0, GENESIS) if row is None else Head(row.seq, row.hash)
        taken = select(func.max(values.seq)).where(values.node == self._node)
        return last, max(last.seq, await connection.scalar(taken) or 0)

    async def _roll_day_key(
        self, connection: AsyncConnection, head: Head, at_us: int
    ) -> tuple[Head, bool]:
        """Begin a new day's key when the day has changed since the last one."""
        table = audit_entries.c
        own = table.node == self._node
        day = (
            await connection.execute(
                select(table.at_us, table.body)
                .where(own, table.kind == DAY_KEY)
                .order_by(table.seq.desc())
                .limit(1)
            )
        ).first()
        fields = {} if day is None else ChainEntry.of_body(day.body, "").facts
        announced = str(
            fields.get("public_key", "")
        )  # a body that was tampered with may have no key
        old = self._keys.current(announced)
        ahead = -1 if day is None else day.at_us // DAY_US - at_us // DAY_US
        if old is not None and 0 <= ahead < _AHEAD_DAYS:
            return head, False
        new = public_hex(self._keys.successor())
        facts = {"public_key": new, "previous": announced}
        if old is not None:
            facts["signature"] = old.sign(day_key_text(head.hash, new)).hex()
        event = _Event(at_us, DAY_KEY, facts, {})
        return await self._write(connection, head, event), True

    async def _write(self, connection: AsyncConnection, head: Head, event: _Event) -> Head:
        seq = head.seq + 1
        salts = {name: secrets.token_bytes(32) for name in event.personal}
        body = canonical(
            {
                "node": self._node,
                "seq": seq,
                "at_us": event.at_us,
                "kind": event.kind,
                "facts": dict(event.facts),
                "commitments": {
                    name: commitment(salts[name], name, value)
                    for name, value in event.personal.items()
                },
            }
        )
        new = Head(seq, chained(head.hash, body))
        row = {"node": self._node, "seq": seq}
        await connection.execute(
            insert(audit_entries).values(
                **row, at_us=event.at_us, kind=event.kind, body=body, hash=new.hash
            )
        )
        values = [
            {**row, "name": name, "salt": salts[name], "value": value}
            for name, value in event.personal.items()
        ]
        if values:
            await connection.execute(insert(audit_values), values)
        return new

    async def chain_entries(self, after: int = 0, limit: int = 500) -> list[ChainEntry]:
        """Return the chain's entries as stored, with `seq` > `after`, in order."""
        async with self._reading() as connection:
            return await _chain_entries(connection, self._node, after, limit)

    async def search(
        self, sought: AuditFilter, before: int | None = None, limit: int = 50
    ) -> list[ChainEntry]:
        """Return the newest matching entries, the newest first.

        `before`: only entries with a lower `seq` than this; None: all.
        """
        table = audit_entries.c
        older = () if before is None else (table.seq < before,)
        statement = (
            select(audit_entries)
            .where(table.node == self._node, *older, *_fits(sought))
            .order_by(table.seq.desc())
            .limit(limit)
        )
        async with self._reading() as connection:
            return await _with_values(connection, self._node, statement)

    async def entries(self, after: int = 0, limit: int = 500) -> list[AuditEntry]:
        """Return entries with `seq` > `after`, in order."""
        return [
            AuditEntry(
                entry.seq,
                entry.at_us,
                entry.kind,
                entry.facts,
                {name: value for name, (_, value) in entry.values.items()},
            )
            for entry in await self.chain_entries(after, limit)
        ]

    async def head(self) -> Head | None:
        """Return the newest entry; None when there is no entry yet."""
        table = audit_entries.c
        statement = (
            select(table.seq, table.hash)
            .where(table.node == self._node)
            .order_by(table.seq.desc())
            .limit(1)
        )
        async with self._reading() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Head(row.seq, row.hash)

    async def last(self, kind: str, by: float | None = None) -> AuditEntry | None:
        """Return the newest entry of this kind, or None, without its personal values.

        `by`: only entries up to this time (Unix seconds), since a clock that was ahead may have
        written entries dated in the future.
        """
        table = audit_entries.c
        in_time = () if by is None else (table.at_us <= int(by * _US),)
        statement = (
            select(audit_entries)
            .where(table.node == self._node, table.kind == kind, *in_time)
            .order_by(table.seq.desc())
            .limit(1)
        )
        async with self._reading() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        return AuditEntry(
            row.seq, row.at_us, row.kind, ChainEntry.of_body(row.body, row.hash).facts, {}
        )

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise AuditError(f"the audit cannot be read: {reason_of(error)}") from None


async def verify(engine: AsyncEngine, node: str, anchors: Sequence[Head] = ()) -> ChainVerification:
    """Verify a node's whole chain against `anchors`: heads that another custodian kept."""
    checker = ChainChecker(node, anchors)
    async with engine.connect() as connection:
        while entries := await _chain_entries(connection, node, checker.last, 1000):
            for entry in entries:
                checker.check(entry)
    return checker.result()


def _fits(sought: AuditFilter) -> Iterator[ColumnElement[bool]]:
    table, value = audit_entries.c, audit_values.c
    if sought.kind:
        yield table.kind == sought.kind
    if sought.since is not None:
        yield table.at_us >= int(sought.since * _US)
    if sought.until is not None:
        yield table.at_us < int(sought.until * _US)
    if sought.call_id:
        yield table.body.contains(f'"call_id":"{sought.call_id}"', autoescape=True)
    if sought.actor:
        own = value.node == table.node, value.seq == table.seq, value.name == "actor"
        yield exists().where(*own, value.value == sought.actor)


async def _chain_entries(
    connection: AsyncConnection, node: str, after: int, limit: int
) -> list[ChainEntry]:
    statement = (
        select(audit_entries)
        .where(audit_entries.c.node == node, audit_entries.c.seq > after)
        .order_by(audit_entries.c.seq)
        .limit(limit)
    )
    return await _with_values(connection, node, statement)


async def _with_values(
    connection: AsyncConnection, node: str, statement: Select[Any]
) -> list[ChainEntry]:
    rows = (await connection.execute(statement)).all()
    values = await _values(connection, node, [row.seq for row in rows])
    return [
        ChainEntry(row.seq, row.at_us, row.kind, row.body, row.hash, values.get(row.seq, {}))
        for row in rows
    ]


async def _values(
    connection: AsyncConnection, node: str, seqs: list[int]
) -> dict[int, dict[str, tuple[bytes, str]]]:
    rows = await connection.execute(
        select(audit_values).where(audit_values.c.node == node, audit_values.c.seq.in_(seqs))
    )
    found: dict[int, dict[str, tuple[bytes, str]]] = {}
    for row in rows:
        found.setdefault(row.seq, {})[row.name] = (row.salt, row.value)
    return found
