"""The audit log: it records which person did what, in one append-only audit chain for each node.

Personal values (such as names) are not in the chain. The chain has an HMAC of each value, with a
random salt as the key. Values and salts are in separate rows. `AuditLog.erase` deletes rows of
values, and appends an entry with the reason, signed by the day key. So the chain shows if such a
row was deleted in any other way.

Each day's key signs the next one and is destroyed (`recording.audit.day_key`). So a person who
controls the server today cannot rewrite yesterday's entries, but can rewrite today's and remove
entries from the end. Only anchors (`recording.audit.anchors`) show this, and only for the entries
up to the newest anchor.
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
    literal_column,
    select,
    text,
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
    same_kinds,
)
from recording.audit.day_key import DayKeys, public_hex
from recording.errors import AuditError, reason_of
from recording.index.catalogue import metadata

_CALL_ID = text("CASE WHEN json_valid(body) THEN json_extract(body, '$.facts.call_id') END")
"""The call that an entry names. SQLite uses its index only for the same expression."""

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
    Index("audit_entries_by_time", "node", "kind", "at_us"),
    Index("audit_entries_by_call", "node", _CALL_ID, "seq"),
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
_PAGE = 500
"""The number of entries that `search_all` reads at a time."""
_SHORT_S = 2 * 86_400.0
"""The longest time in seconds whose entries are sorted; those of a longer one are read in order."""
_AHEAD_DAYS = 7
"""A day key this many days in the future was made by a wrong clock; a new key replaces it."""

Facts = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the chain, without erased values. `at_us` is in microseconds since 1970."""

    seq: int
    at_us: int
    kind: str
    facts: dict[str, str | int | bool]
    personal: dict[str, str]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The conditions that a searched entry must meet. An empty or None field sets no condition.

    Times are in Unix seconds; `until` is excluded. An entry whose actor, such as "user:mair", was
    erased meets no condition on the actor.
    """

    kind: str = ""
    call_id: str = ""
    actor: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to write. Facts remain in the chain for ever; personal values can be erased."""

    kind: str
    facts: Facts = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)


Work = Callable[[AsyncConnection], Awaitable[Sequence[NewEntry]]]
"""Changes the database, and returns the entries about the changes."""


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a chain, which a new entry follows. `day_key_*` are None without a day key.

    `taken` is the highest number that must not be used again: that of the newest entry, or of later
    personal values whose entry was deleted. A new entry with this number could not be written, or
    could get the wrong personal values.
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
    """The new head, and whether a new day key was written.

    `cut` is the number of the first new entry if the entries before it were deleted, else None.
    """

    head: Head
    rolled: bool
    cut: int | None


class AuditLog:
    """Reads one node's audit chain, and appends entries. Every method raises `AuditError`.

    Several processes may append to one chain: each entry is written in one database transaction.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        node: str,
        key: Path,
        clock: Callable[[], float] = time.time,
        on_cut: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare to append entries. `key` is the day key's file; `clock` returns Unix seconds.

        `on_cut` gets the number of a new entry if the entries before it were deleted from the
        database.
        """
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._node = node
        self._end_statement = _end_statement(node)
        self._keys = DayKeys(key)
        self.clock = clock
        self._on_cut = on_cut

    async def append(
        self,
        kind: str,
        facts: Facts | None = None,
        personal: Mapping[str, str] | None = None,
        *,
        at: float | None = None,
    ) -> Head:
        """Commit one entry, at the time `at` (Unix seconds; None means now). Return the new head.

        Raises `AuditError` if the entry or a new day key could not be written. The caller must then
        not carry out the action that the entry should record.
        """
        at_us = int((self.clock() if at is None else at) * _US)
        entry = NewEntry(kind, facts or {}, personal or {})
        try:
            async with self._writer.begin() as connection:
                written = await self._append(connection, at_us, [entry])
            return self._committed(written)
        except (SQLAlchemyError, OSError) as error:
            raise _not_written(error) from None

    async def append_after(self, work: Work) -> Head | None:
        """Run `work` and write its entries in one transaction, which an error in either undoes.

        Return the new head of the chain, the last of these entries; None if there is no entry.
        """
        try:
            async with self._writer.begin() as connection:
                entries = await work(connection)
                at_us = int(self.clock() * _US)
                written = await self._append(connection, at_us, entries) if entries else None
            return None if written is None else self._committed(written)
        except (SQLAlchemyError, OSError) as error:
            raise _not_written(error) from None

    async def erase(self, seq: int, names: Collection[str], reason: str, actor: str) -> list[str]:
        """Erase the values `names` of entry `seq` (all if `names` is empty).

        Append an entry with the reason, and return the names. Values that are missing already are
        recorded as erased, too. `reason` remains in the chain for ever, so it must not contain
        personal data. Raises `AuditError` if there is no such entry or value, or the entry could
        not be written.
        """
        at_us = int(self.clock() * _US)
        try:
            async with self._writer.begin() as connection:
                found = await _chain_entries(connection, self._node, seq - 1, 1)
                if not found or found[0].seq != seq:
                    raise AuditError(f"the audit has no entry {seq}")
                committed = found[0].committed_names
                erased = sorted(names or committed)
                if unknown := sorted(set(erased) - committed) or ([] if erased else ["to erase"]):
                    raise AuditError(f"entry {seq} has no personal value {unknown[0]}")
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
        end = await self._end(connection)
        start = Head(end.taken, end.last.hash)
        new_key = self._roll_day_key(end, start, at_us)
        head = await self._write(connection, start, at_us, [*new_key, *entries])
        return _Written(head, bool(new_key), end.taken + 1 if end.taken > end.last.seq else None)

    def _committed(self, written: _Written) -> Head:
        if written.rolled:
            self._keys.rotate()
        if written.cut is not None:
            self._on_cut(written.cut)
        return written.head

    async def _end(self, connection: AsyncConnection) -> _End:
        row = (await connection.execute(self._end_statement)).one()
        last = Head(0, GENESIS) if row.seq is None else Head(row.seq, row.hash)
        return _End(last, max(last.seq, row.taken or 0), row.day_key_us, row.day_key_body)

    def _roll_day_key(self, end: _End, head: Head, at_us: int) -> list[NewEntry]:
        """Return an entry with a new day key, to follow `head`; nothing if the newest key is kept.

        The newest key is replaced if its day is over at `at_us` or at least `_AHEAD_DAYS` days in
        the future, or if its private half is lost.
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
        """Return up to `limit` matching entries with `seq` < `before`, the newest first."""
        table = audit_entries.c
        older = () if before is None else (table.seq < before,)
        # A sum has no index: SQLite sorts the rows of a short time, and does not read all rows.
        order = table.seq + 0 if _is_short(sought) else table.seq
        statement = (
            select(audit_entries)
            .where(table.node == self._node, *older, *_fits(sought))
            .order_by(order.desc())
            .limit(limit)
        )
        async with self._reading() as connection:
            return await _with_values(connection, self._node, statement)

    async def search_all(self, sought: AuditFilter) -> AsyncIterator[ChainEntry]:
        """Yield all matching entries, the newest first."""
        before: int | None = None
        while page := await self.search(sought, before, _PAGE):
            for entry in page:
                yield entry
            before = page[-1].seq

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
        """Return the number and hash of the newest entry; None if there is none yet."""
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

        Entries later than `by` (Unix seconds) are ignored: a wrong clock can give a time in the
        future.
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
    """Verify a node's audit chain, which must contain `anchors`. Raises `SQLAlchemyError`."""
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
        # A call has few entries, but its kind may have a million. A text has no index.
        kind = table.kind.concat("") if sought.call_id else table.kind
        yield kind.in_(same_kinds(sought.kind))
    at_us = table.at_us if _is_short(sought) else table.at_us + 0
    if sought.since is not None:
        yield at_us >= int(sought.since * _US)
    if sought.until is not None:
        yield at_us < int(sought.until * _US)
    if sought.call_id:
        yield literal_column(_CALL_ID.text) == sought.call_id
    if sought.actor:
        own = value.node == table.node, value.seq == table.seq, value.name == "actor"
        yield exists().where(*own, value.value == sought.actor)


def _is_short(sought: AuditFilter) -> bool:
    """Return whether a filter is for a time that has few entries."""
    if sought.since is None or sought.until is None:
        return False
    return sought.until - sought.since <= _SHORT_S


def _end_statement(node: str) -> Select[Any]:
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
