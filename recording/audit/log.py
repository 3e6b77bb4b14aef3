"""The audit log: it records which person did what, in one audit chain for each node.

The chain is append-only: the hash of each entry covers the entry's body and the previous entry's
hash. Personal values (such as names) are not in the chain. For each personal value, the chain has
an HMAC, whose key is a random salt. The values and their salts are in separate database rows, which
`AuditLog.erase` deletes. It appends an entry with the reason, which the day key signs. So the chain
shows if such a row was deleted in any other way.

Each day has a signing key (`recording.audit.day_key`). When the day changes, the old day's key
signs the chain's head and the new day's public key, and is then destroyed. So a person who controls
the server today cannot rewrite the entries of yesterday. But this person can rewrite today's
entries and remove entries from the end of the chain. Such changes are detected only for entries up
to the newest anchor. An *anchor* is an earlier head of the chain, kept by a person who does not run
the server.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    ScalarSelect,
    Select,
    String,
    Table,
    Text,
    delete,
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
    VALUES_ERASED,
    ChainChecker,
    ChainEntry,
    ChainVerification,
    Head,
    canonical,
    chained,
    commitment,
    day_key_text,
    erasure_text,
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

# SQLAlchemy needs more time for a new statement than for one that it has executed before.
_INSERT_ENTRIES = insert(audit_entries)
_INSERT_VALUES = insert(audit_values)
_US = 1_000_000
_AHEAD_DAYS = 7
"""The signing key of a day is replaced if that day is at least this many days in the future.

Such a key was made while the clock was wrong. It is replaced before the next entry is written.
"""

Facts = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit chain, as read from the database.

    Attributes:
        seq: The entry's number.
        at_us: The time of the recorded action, in microseconds since 1970.
        kind: An event name, such as `recording.fetched`.
        facts: The facts that are not personal.
        personal: The personal values by name. Erased values are absent.
    """

    seq: int
    at_us: int
    kind: str
    facts: dict[str, str | int | bool]
    personal: dict[str, str]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The conditions that a searched entry must meet. An empty or None field sets no condition.

    Attributes:
        kind: The entry's event name.
        call_id: The call id in the entry's facts.
        actor: The person or program that caused the entry, such as "user:mair". If this name was
            erased from an entry, the entry does not meet this condition.
        since: The earliest time of the entry, in Unix seconds.
        until: The time before which the entry must be, in Unix seconds.
    """

    kind: str = ""
    call_id: str = ""
    actor: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that is not in the chain yet.

    Attributes:
        kind: An event name, such as `recording.fetched`.
        facts: The facts that are not personal. They remain in the chain for ever.
        personal: The personal values by name, such as names, phone numbers and addresses. The
            chain has only commitments to these values, so the values can be erased.
    """

    kind: str
    facts: Facts = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)


Work = Callable[[AsyncConnection], Awaitable[Sequence[NewEntry]]]
"""A function that changes the database, and returns the entries about the changes."""


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a chain, which a new entry follows.

    Attributes:
        last: The newest entry.
        taken: The highest number of an entry that must not be used again. It is usually the number
            of the newest entry. It is higher if later entries were deleted from the database, but
            their personal values were not. If a new entry got the number of a deleted entry, the
            write could fail, or the new entry could get the wrong personal values.
        day_key_us: The time of the newest entry with a day key; None if there is no such entry.
        day_key_body: The body of this entry.
    """

    last: Head
    taken: int
    day_key_us: int | None
    day_key_body: str | None

    @property
    def announced(self) -> str:
        """The newest public day key; "" if there is none, or if its entry's body was changed."""
        if self.day_key_body is None:
            return ""
        return str(ChainEntry.of_body(self.day_key_body, "").facts.get("public_key", ""))


@dataclass(frozen=True, slots=True)
class _Written:
    """The result of writing entries.

    Attributes:
        head: The new head of the chain.
        rolled: True if an entry with a new day key was written.
        cut: The number of the first new entry, if the entries directly before it were deleted from
            the database; None otherwise.
    """

    head: Head
    rolled: bool
    cut: int | None


class AuditLog:
    """Reads one node's audit chain, and appends entries to it.

    Several processes may append to one chain, because each entry is written in one database
    transaction. Every method raises `AuditError` if the database fails.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        node: str,
        key: Path,
        clock: Callable[[], float] = time.time,
        on_cut: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare to append entries.

        Args:
            engine: The database.
            node: The name of the node whose chain it is.
            key: The path of the file with the day key.
            clock: Returns the time in Unix seconds.
            on_cut: The function that is called with the number of a new entry if the entries
                directly before the new entry were deleted from the database.
        """
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._node = node
        self._end_statement = _end_statement(node)
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
        """Write one entry and commit it. Return the new head of the chain.

        Args:
            kind: An event name, as in `NewEntry`.
            facts: The facts that are not personal.
            personal: The personal values by name.
            at: The time of the recorded action, in Unix seconds; None means now.

        Raises:
            AuditError: The entry could not be written. The code that called this method must then
                not carry out the action that the entry should record.
        """
        at_us = int((self._clock() if at is None else at) * _US)
        entry = NewEntry(kind, facts or {}, personal or {})
        try:
            async with self._writer.begin() as connection:
                written = await self._append(connection, at_us, [entry])
            return self._committed(written)
        except (SQLAlchemyError, OSError) as error:
            raise _not_written(error) from None

    async def append_after(self, work: Work) -> None:
        """Run `work` in a database transaction, and write the entries for it in the same one.

        So either the changes and the entries are written, or neither.

        Raises `AuditError` if the database fails; then nothing was changed.
        """
        try:
            async with self._writer.begin() as connection:
                entries = await work(connection)
                at_us = int(self._clock() * _US)
                written = await self._append(connection, at_us, entries) if entries else None
            if written is not None:
                self._committed(written)
        except (SQLAlchemyError, OSError) as error:
            raise _not_written(error) from None

    async def erase(self, seq: int, names: Collection[str], reason: str, actor: str) -> list[str]:
        """Erase personal values of entry number `seq`, and write an entry with the reason.

        Values that are missing already are recorded as erased, too. `names` are the names of the
        values; if there are none, all are erased. `reason` remains in the chain for ever, so it
        must not contain personal data.

        Return the names of the values.

        Raises:
            AuditError: There is no such entry or value, or the database fails. Nothing was changed.
        """
        at_us = int(self._clock() * _US)
        try:
            async with self._writer.begin() as connection:
                found = await _chain_entries(connection, self._node, seq - 1, 1)
                if not found or found[0].seq != seq:
                    raise AuditError(f"the audit has no entry {seq}")
                committed = found[0].committed_names
                erased = sorted(names or committed)
                if unknown := sorted(set(erased) - committed) or ([] if erased else ["personal"]):
                    raise AuditError(f"entry {seq} has no value {unknown[0]}")
                table = audit_values.c
                own = table.node == self._node, table.seq == seq, table.name.in_(erased)
                await connection.execute(delete(audit_values).where(*own))
                end = await self._end(connection)
                start = Head(end.taken, end.last.hash)
                new_key = self._roll_day_key(end, start, at_us)
                public = str(new_key[0].facts["public_key"]) if new_key else end.announced
                entry = self._erasure_entry(public, found[0], ",".join(erased), reason, actor)
                head = await self._write(connection, start, at_us, [*new_key, entry])
            cut = end.taken + 1 if end.taken > end.last.seq else None
            self._committed(_Written(head, bool(new_key), cut))
        except (SQLAlchemyError, OSError) as error:
            raise _not_written(error) from None
        return erased

    def _erasure_entry(
        self, public: str, erased: ChainEntry, names: str, reason: str, actor: str
    ) -> NewEntry:
        key = self._keys.private(public)
        if key is None:
            raise AuditError("the audit's day key is missing")
        signature = key.sign(erasure_text(erased.hash, names, reason)).hex()
        facts: Facts = {
            "entry": erased.seq,
            "hash": erased.hash,
            "names": names,
            "reason": reason,
            "signature": signature,
        }
        return NewEntry(VALUES_ERASED, facts, {"actor": actor})

    async def _append(
        self, connection: AsyncConnection, at_us: int, entries: Sequence[NewEntry]
    ) -> _Written:
        """Write one entry or more, which all have the same time."""
        end = await self._end(connection)
        start = Head(end.taken, end.last.hash)
        new_key = self._roll_day_key(end, start, at_us)
        head = await self._write(connection, start, at_us, [*new_key, *entries])
        return _Written(head, bool(new_key), end.taken + 1 if end.taken > end.last.seq else None)

    def _committed(self, written: _Written) -> Head:
        """Finish the writing of entries after their transaction was committed.

        Raises `OSError`.
        """
        if written.rolled:
            self._keys.rotate()
        if written.cut is not None:
            self._on_cut(written.cut)
        return written.head

    async def _end(self, connection: AsyncConnection) -> _End:
        """Return the end of the chain."""
        row = (await connection.execute(self._end_statement)).one()
        last = Head(0, GENESIS) if row.seq is None else Head(row.seq, row.hash)
        return _End(last, max(last.seq, row.taken or 0), row.day_key_us, row.day_key_body)

    def _roll_day_key(self, end: _End, head: Head, at_us: int) -> list[NewEntry]:
        """Return an entry with a new day key (signing key), if the newest key must be replaced.

        The newest key must be replaced if its day is before the day of `at_us`, if its day is
        `_AHEAD_DAYS` days or more after the day of `at_us`, or if its private half is lost. If it
        need not be replaced, return an empty list. `head` is the entry before the new entry.
        """
        announced = end.announced
        ahead = -1 if end.day_key_us is None else end.day_key_us // DAY_US - at_us // DAY_US
        is_of_now = 0 <= ahead < _AHEAD_DAYS
        if is_of_now and self._keys.has(announced):
            return []
        old = self._keys.current(announced)
        if old is not None and is_of_now:
            return []
        new = public_hex(self._keys.successor())
        facts = {"public_key": new, "previous": announced}
        if old is not None:
            facts["signature"] = old.sign(day_key_text(head.hash, new)).hex()
        return [NewEntry(DAY_KEY, facts)]

    async def _write(
        self, connection: AsyncConnection, head: Head, at_us: int, entries: Sequence[NewEntry]
    ) -> Head:
        """Write the rows of these entries, which follow `head`; return the new head."""
        rows, values = [], []
        for entry in entries:
            seq = head.seq + 1
            salts = {name: secrets.token_bytes(32) for name in entry.personal}
            body = canonical(
                {
                    "node": self._node,
                    "seq": seq,
                    "at_us": at_us,
                    "kind": entry.kind,
                    "facts": dict(entry.facts),
                    "commitments": {
                        name: commitment(salts[name], name, value)
                        for name, value in entry.personal.items()
                    },
                }
            )
            head = Head(seq, chained(head.hash, body))
            key = {"node": self._node, "seq": seq}
            rows.append(
                {**key, "at_us": at_us, "kind": entry.kind, "body": body, "hash": head.hash}
            )
            values += [
                {**key, "name": name, "salt": salts[name], "value": value}
                for name, value in entry.personal.items()
            ]
        await connection.execute(_INSERT_ENTRIES, rows)
        if values:
            await connection.execute(_INSERT_VALUES, values)
        return head

    async def chain_entries(self, after: int = 0, limit: int = 500) -> list[ChainEntry]:
        """Return up to `limit` entries with `seq` > `after`, sorted by `seq`, exactly as stored."""
        async with self._reading() as connection:
            return await _chain_entries(connection, self._node, after, limit)

    async def search(
        self, sought: AuditFilter, before: int | None = None, limit: int = 50
    ) -> list[ChainEntry]:
        """Return up to `limit` entries that match `sought`, the newest entry first.

        If `before` is given, only entries with a lower `seq` are returned.
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
        """Return up to `limit` entries with `seq` > `after`, sorted by `seq`, without hashes."""
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
        """Return the number and hash of the newest entry; None if there is no entry yet."""
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
        """Return the newest entry of this kind, without its personal values; None if there is none.

        If `by` is given, entries with a later time (Unix seconds) are ignored. This is useful
        because an entry can have a time in the future, if the clock was wrong when it was written.
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
    """Verify the whole audit chain of a node.

    `anchors` are earlier heads of the chain, kept by a person who does not run the server. The
    chain must contain them.
    """
    checker = ChainChecker(node, anchors)
    async with engine.connect() as connection:
        while entries := await _chain_entries(connection, node, checker.last, 1000):
            for entry in entries:
                checker.check(entry)
    return checker.result()


def _not_written(error: Exception) -> AuditError:
    return AuditError(f"the audit cannot be written: {reason_of(error)}")


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


def _end_statement(node: str) -> Select[Any]:
    """Return the statement that reads all fields of an `_End` at once."""
    entry, value = audit_entries.c, audit_values.c

    def newest(column: Column[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
        chosen = select(column).where(entry.node == node, *conditions)
        return chosen.order_by(entry.seq.desc()).limit(1).scalar_subquery()

    return select(
        newest(entry.seq).label("seq"),
        newest(entry.hash).label("hash"),
        newest(entry.at_us, entry.kind == DAY_KEY).label("day_key_us"),
        newest(entry.body, entry.kind == DAY_KEY).label("day_key_body"),
        select(func.max(value.seq)).where(value.node == node).scalar_subquery().label("taken"),
    )


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
