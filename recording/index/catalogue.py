"""The index: a database with a row for each recording, and rows for its gaps and other parts.

The audio is in the archive. When a recording is complete there, the finaliser sends a message to
the desk, and the desk writes the rows. Phone numbers are in E.164 form if possible.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Row,
    Select,
    String,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recording.archive.manifest import Gap
from recording.archive.summary import (
    NO_PERSONAL_FACTS,
    LaterAdvisor,
    LaterCaller,
    PartyNetwork,
    PersonalFacts,
    RecordingSummary,
)
from recording.errors import CatalogueError, reason_of
from recording.index.search import (
    LATER_PARTIES,
    RARE_BELOW,
    Cursor,
    Filters,
    length_count_statement,
    search_statement,
)
from recording.index.tables import (
    flags,
    gap_reasons,
    gaps,
    later_advisors,
    later_callers,
    metadata,
    networks,
    recordings,
    references,
    retentions,
)

__all__ = ["Catalogue", "Cursor", "Filters", "Page", "metadata"]

MOST_IDS = 500
"""The most recordings that one SQL statement may name."""
_BATCH = 2000
"""The most rows that are read from a table at once."""


# SQLAlchemy needs more time for a new statement than for one that it has executed before.
_PARTS = (gaps, gap_reasons, later_callers, later_advisors, networks)
_ONE = select(recordings).where(recordings.c.call_id == bindparam("own"))
_KNOWN = select(
    recordings.c.call_id,
    recordings.c.manifest_sha256,
    or_(*(recordings.c[name] != "" for name in ("number", "line", "advisor", "extension"))),
    or_(
        *(
            exists().where(table.c.call_id == recordings.c.call_id)
            for table in (later_callers, later_advisors)
        )
    ),
).where(recordings.c.call_id.in_(bindparam("ids", expanding=True)))
_CLEAR = tuple(
    delete(table).where(table.c.call_id.in_(bindparam("ids", expanding=True))) for table in _PARTS
)
_HAVE_PARTS = select(
    or_(
        *(exists().where(table.c.call_id.in_(bindparam("ids", expanding=True))) for table in _PARTS)
    )
)
_INSERT = tuple(map(insert, (recordings, *_PARTS)))
_ADD_REFERENCE = insert(references).from_select(
    ["reference", "call_id"],
    select(bindparam("to", type_=String), bindparam("own", type_=String)).where(
        ~exists().where(
            references.c.reference == bindparam("to", type_=String),
            references.c.call_id == bindparam("own", type_=String),
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of recordings. `after` is its end; None on the last page."""

    rows: tuple[RecordingSummary, ...]
    after: Cursor | None


@dataclass(frozen=True, slots=True)
class KnownRow:
    """The facts that decide whether a recording's row is replaced."""

    manifest_sha256: str
    has_personal_facts: bool
    """As in `RecordingSummary`."""


@contextlib.contextmanager
def index_errors() -> Iterator[None]:
    """Raise `CatalogueError` in place of an error of the index's database."""
    try:
        yield
    except SQLAlchemyError as error:
        raise CatalogueError(f"the index cannot be used: {reason_of(error)}") from None


class Catalogue:
    """The index of one node's recordings. Every method raises `CatalogueError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def add(self, recording: RecordingSummary) -> bool:
        """Write a recording's rows in place of older ones; return True if the recording is new."""
        with index_errors():
            async with self._writer.begin() as connection:
                known = await known_rows(connection, [recording.call_id])
                await write_rows(connection, [recording], known)
        return not known

    async def get(self, call_id: str) -> RecordingSummary | None:
        """Return a recording; None if the index does not have it."""
        statement = select(recordings).where(recordings.c.call_id == call_id)
        rows = await self._read(statement)
        return rows[0] if rows else None

    async def without_parts(self, call_id: str) -> RecordingSummary | None:
        """Return the recording as `get` does, but without its rows in other tables."""
        with index_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_ONE, {"own": call_id})).first()
        return None if row is None else _summary(row)

    async def folders(self) -> dict[str, str]:
        """Return the archive folder of each recording by call id. Other tasks run meanwhile."""
        found: dict[str, str] = {}
        names: dict[str, str] = {}
        columns = select(recordings.c.call_id, recordings.c.folder).order_by(recordings.c.call_id)
        last = ""
        with index_errors():
            async with self._engine.connect() as connection:
                while True:
                    part = columns.where(recordings.c.call_id > last).limit(_BATCH)
                    rows = (await connection.execute(part)).all()
                    found.update((row[0], names.setdefault(row[1], row[1])) for row in rows)
                    if len(rows) < _BATCH:
                        return found
                    last = rows[-1][0]

    async def search(self, filters: Filters, limit: int = 50, after: Cursor | None = None) -> Page:
        """Return a page of the recordings that match every filter, the newest first."""
        rare = await self._is_of_rare_length(filters)
        later = await self._later_parties(filters)
        statement = search_statement(filters, after, rare=rare, later=later)
        rows = await self._read(statement.limit(limit + 1))
        return _page(rows, limit)

    async def starts(self, filters: Filters) -> dict[str, float]:
        """Return the start (Unix seconds) of each recording that matches every filter, by id."""
        later = await self._later_parties(filters)
        rows = search_statement(filters, later=later).with_only_columns(
            recordings.c.call_id, recordings.c.started
        )
        with index_errors():
            async with self._engine.connect() as connection:
                return {row.call_id: row.started for row in await connection.execute(rows)}

    async def some(self, call_ids: Collection[str]) -> dict[str, RecordingSummary]:
        """Return those of at most `MOST_IDS` recordings that the index has, by call id."""
        rows = await self._read(select(recordings).where(recordings.c.call_id.in_(call_ids)))
        return {row.call_id: row for row in rows}

    async def erase_facts(self, connection: AsyncConnection, recording: RecordingSummary) -> None:
        """Erase the personal facts of a row. The caller commits, with an entry in the audit."""
        blank = {name: getattr(NO_PERSONAL_FACTS, name) for name in PersonalFacts.__struct_fields__}
        row = msgspec.structs.replace(recording, **blank)
        await write_rows(connection, [row], {recording.call_id})

    async def line_named(self, text: str) -> str:
        """Return the name of the telephone line that a user means by `text`.

        If no line has exactly this name, and exactly one line differs from it only in capital
        letters, return the name of that line. Otherwise return `text`.
        """
        line = recordings.c.line
        exact = select(line).where(line == text).limit(1)
        with index_errors():
            async with self._engine.connect() as connection:
                if await connection.scalar(exact) is not None:
                    return text
                # Each step reads the next name from the database index. This is fast, because even
                # a million rows have only a few line names.
                found: list[str] = []
                after = ""
                while len(found) < _BATCH:
                    step = await connection.scalar(select(func.min(line)).where(line > after))
                    if step is None:
                        break
                    found.append(step)
                    after = step
        alike = [each for each in found if each.casefold() == text.casefold()]
        return alike[0] if len(alike) == 1 else text

    async def in_order(self, after: str, limit: int = 500) -> Page:
        """Return the first `limit` recordings with a call id after `after`, sorted by call id."""
        statement = select(recordings).where(recordings.c.call_id > after)
        rows = await self._read(statement.order_by(recordings.c.call_id).limit(limit + 1))
        return _page(rows, limit)

    async def misdated(
        self, first: str, last: str, since: float, until: float
    ) -> list[RecordingSummary]:
        """Return the recordings whose call id is in a range, but whose start is not in a period.

        The texts `first` and `last` are outside the range; the period is in Unix seconds. A start
        outside the period was changed, or the clock was set.
        """
        table = recordings.c
        inside = table.started.between(since, until)
        statement = select(recordings).where(table.call_id > first, table.call_id < last, ~inside)
        return await self._read(statement)

    async def _is_of_rare_length(self, filters: Filters) -> bool:
        if filters.min_us is None and filters.max_us is None:
            return False
        with index_errors():
            async with self._engine.connect() as connection:
                count = await connection.scalar(length_count_statement(filters))
        return int(count or 0) < RARE_BELOW

    async def _later_parties(self, filters: Filters) -> frozenset[str]:
        """Return the names of the filters whose value belongs to a later party of any call."""
        asked = {name: getattr(filters, name) for name in LATER_PARTIES}
        found = set()
        with index_errors():
            async with self._engine.connect() as connection:
                for name, column in LATER_PARTIES.items():
                    if asked[name] is None:
                        continue
                    one = select(literal(1)).where(column == asked[name]).limit(1)
                    if await connection.scalar(one) is not None:
                        found.add(name)
        return frozenset(found)

    async def _read(self, statement: Select[Any]) -> list[RecordingSummary]:
        with index_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
                call_ids = [row.call_id for row in rows]
                lists = {name: await _list_of(connection, name, call_ids) for name in _LISTS}
                parties = await networks_of(connection, call_ids)
        return [
            _summary(
                row,
                **{name: found.get(row.call_id, []) for name, found in lists.items()},
                network=parties.get(row.call_id, []),
            )
            for row in rows
        ]


def _page(rows: list[RecordingSummary], limit: int) -> Page:
    """Return a page of `limit` rows; one more row means that there is a next page."""
    shown = tuple(rows[:limit])
    more = len(rows) > limit
    return Page(shown, Cursor(shown[-1].started, shown[-1].call_id) if more else None)


async def add_fetch_reference(connection: AsyncConnection, call_id: str, reference: str) -> None:
    """Store the reference (such as a case number) with which a user fetched this recording.

    A reference that is already stored is not added again. The caller commits the transaction.
    Raises `SQLAlchemyError`.
    """
    await connection.execute(_ADD_REFERENCE, {"to": reference, "own": call_id})


async def known_rows(connection: AsyncConnection, call_ids: Collection[str]) -> dict[str, KnownRow]:
    """Return the rows of at most `MOST_IDS` recordings by call id. Raises `SQLAlchemyError`."""
    rows = await connection.execute(_KNOWN, {"ids": list(call_ids)})
    return {
        call_id: KnownRow(digest, bool(of_call) or bool(of_later))
        for call_id, digest, of_call, of_later in rows
    }


async def write_rows(
    connection: AsyncConnection,
    summaries: Sequence[RecordingSummary],
    known: Container[str],
) -> None:
    """Write the rows of recordings, and the rows of their gaps, later parties and networks.

    The rows of the recordings in `known` are replaced. Pass at most `MOST_IDS` recordings, each
    only once. The caller commits the transaction. Raises `SQLAlchemyError`.
    """
    new: list[dict[str, Any]] = []
    old: list[dict[str, Any]] = []
    for each in summaries:
        fields = {name: getattr(each, name) for name in _FIELDS}
        (old if each.call_id in known else new).append(fields)
    for fields in old:
        own = recordings.c.call_id == fields["call_id"]
        await connection.execute(recordings.update().where(own).values(**fields))
        # The order of a search by flag or hold is that of these tables.
        for table in (flags, retentions):
            start = table.c.call_id == fields["call_id"], table.c.started != fields["started"]
            await connection.execute(table.update().where(*start).values(started=fields["started"]))
    ids = [each.call_id for each in summaries]
    # A recording whose row was lost can still have rows in the tables of `_PARTS`.
    if old or await connection.scalar(_HAVE_PARTS, {"ids": ids}):
        for clear in _CLEAR:
            await connection.execute(clear, {"ids": ids})
    for statement, rows in zip(
        _INSERT,
        (
            new,
            [row for each in summaries for row in _list_rows(each, "gaps")],
            [row for each in summaries for row in _reason_rows(each)],
            [row for each in summaries for row in _list_rows(each, "later_callers")],
            [row for each in summaries for row in _list_rows(each, "later_advisors")],
            [row for each in summaries for row in network_rows(each)],
        ),
        strict=True,
    ):
        if rows:
            await connection.execute(statement, rows)


def _list_rows(recording: RecordingSummary, name: str) -> Iterator[dict[str, Any]]:
    for position, item in enumerate(getattr(recording, name)):
        yield {"call_id": recording.call_id, "position": position, **asdict(item)}


def _reason_rows(recording: RecordingSummary) -> Iterator[dict[str, Any]]:
    key = {name: getattr(recording, name) for name in ("call_id", "started", "talk_us", "line")}
    for reason in sorted({gap.reason for gap in recording.gaps}):
        yield {"reason": reason, **key}


async def _list_of(
    connection: AsyncConnection, name: str, call_ids: list[str]
) -> dict[str, list[dict[str, object]]]:
    table, item = _LISTS[name]
    found: dict[str, list[dict[str, object]]] = {}
    statement = (
        select(table)
        .where(table.c.call_id.in_(call_ids))
        .order_by(table.c.call_id, table.c.position)
    )
    for row in await connection.execute(statement):
        fields = {field.name: getattr(row, field.name) for field in dataclass_fields(item)}
        found.setdefault(row.call_id, []).append(fields)
    return found


def _summary(row: Row[Any], **others: list[dict[str, object]]) -> RecordingSummary:
    """Return a summary with lists from other tables. Raises `CatalogueError` for a wrong type."""
    fields = {name: getattr(row, name) for name in _FIELDS}
    try:
        return msgspec.convert({**fields, **others}, RecordingSummary)
    except msgspec.ValidationError as error:
        raise CatalogueError(
            f"the index cannot be used: the row of {row.call_id} was changed: {error}"
        ) from None


_LISTS: Final[Mapping[str, tuple[Table, type[Gap | LaterCaller | LaterAdvisor]]]] = {
    "gaps": (gaps, Gap),
    "later_callers": (later_callers, LaterCaller),
    "later_advisors": (later_advisors, LaterAdvisor),
}
"""The lists of a recording that have a table of their own, with the type of their items."""
_TABLES_OF_THEIR_OWN = {*_LISTS, "network"}
_FIELDS = tuple(
    name for name in RecordingSummary.__struct_fields__ if name not in _TABLES_OF_THEIR_OWN
)


_NETWORK_FIELDS = tuple(field.name for field in dataclass_fields(PartyNetwork))


def network_rows(recording: RecordingSummary) -> list[dict[str, Any]]:
    """Return a recording's rows in the table `networks`: one for each party."""
    return [{"call_id": recording.call_id, **asdict(p)} for p in recording.network]


async def networks_of(
    connection: AsyncConnection, call_ids: Collection[str]
) -> dict[str, list[dict[str, object]]]:
    """Return, by call id, the `PartyNetwork` fields of each party. Raises `SQLAlchemyError`.

    Each list begins with the caller. A recording sealed by older software is not in the result.
    SQLite accepts values of another type, so the caller must check the types.
    """
    found: dict[str, list[dict[str, object]]] = {}
    statement = (
        select(networks)
        .where(networks.c.call_id.in_(call_ids))
        .order_by(networks.c.call_id, networks.c.channel.desc())
    )
    for row in await connection.execute(statement):
        found.setdefault(row.call_id, []).append(
            {name: getattr(row, name) for name in _NETWORK_FIELDS}
        )
    return found
