"""The cases in the desk's database: who asks for what, the steps, and the calls that were found.

The deadlines are not stored: `galwad.cases.deadlines` computes them from the steps. A step is never
removed. If it was entered by mistake, it is marked as withdrawn.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, cast

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.calls.bodies import OpenedCase
from galwad.cases.deadlines import DatedStep, Deadlines, deadlines
from galwad.cases.rules import CaseKind, Channel, Outcome, StepKind
from galwad.host.bodies import Language
from recording.index.catalogue import MOST_IDS
from recording.index.search import Cursor

metadata = MetaData()

cases = Table(
    "cases",
    metadata,
    Column("case_id", Integer, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("reference", String(200), nullable=False),
    # The person whose data it is; who asks for them, if this is another person; by which right.
    Column("name", String(200), nullable=False),
    Column("representative", String(200), nullable=False),
    Column("authority", String(200), nullable=False),
    Column("details", Text, nullable=False),
    Column("channel", String(20), nullable=False),
    Column("language", String(2), nullable=False),
    # The call in which the person asked; "" if it was not by telephone, or the call is not known.
    Column("call_id", String(24), nullable=False),
    # The day of receipt, such as "2026-12-03".
    Column("received", String(10), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("opened", Float, nullable=False),
    # Counts the changes, so that a change does not overwrite that of another person.
    Column("version", Integer, nullable=False),
)

steps = Table(
    "case_steps",
    metadata,
    Column("case_id", Integer, ForeignKey("cases.case_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("day", String(10), nullable=False),
    Column("note", Text, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("at", Float, nullable=False),
    # Why the step does not count; "" if it does.
    Column("withdrawn", String(200), nullable=False),
)

searches = Table(
    "case_searches",
    metadata,
    Column("case_id", Integer, ForeignKey("cases.case_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("text", String(200), nullable=False),
    Column("person", String(200), nullable=False),
    # What was looked for in each place, as a JSON list of `SearchedPlace`.
    Column("places", Text, nullable=False),
    Column("found", Integer, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("at", Float, nullable=False),
    # A search that was made by mistake keeps its row, so that its position is not used again.
    Column("removed", Boolean, nullable=False),
)

found_calls = Table(
    "case_calls",
    metadata,
    Column("case_id", Integer, ForeignKey("cases.case_id"), primary_key=True),
    Column("call_id", String(24), primary_key=True),
    Column("search", Integer, primary_key=True),
    Column("started", Float, nullable=False),
    Index("case_calls_by_start", "case_id", "started", "call_id"),
    Index("case_calls_by_call", "call_id"),
)

exclusions = Table(
    "case_exclusions",
    metadata,
    Column("case_id", Integer, ForeignKey("cases.case_id"), primary_key=True),
    Column("call_id", String(24), primary_key=True),
    Column("reason", String(200), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A request of a person about their data, or a complaint. `opened` is in Unix seconds.

    `name` is the person whose data it is. `representative` is who asks for them, by `authority`;
    both are "" if the person asks. `call_id` is the call in which they asked, or "". `owner` is the
    administrator who is responsible for it; "" if an advisor has opened it and none has taken it.
    """

    case_id: int
    kind: CaseKind
    reference: str
    name: str
    representative: str
    authority: str
    details: str
    channel: Channel
    language: Language
    call_id: str
    received: date
    owner: str
    opened: float
    version: int


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A step of a case, with who entered it, and when (Unix seconds).

    `outcome` is "" except in a step "closed". If the step was entered by mistake, `withdrawn` says
    why; otherwise it is "".
    """

    position: int
    kind: StepKind
    day: date
    note: str
    outcome: Outcome | Literal[""]
    actor: str
    at: float
    withdrawn: str


@dataclass(frozen=True, slots=True)
class SearchedPlace:
    """A place that was searched for the data of a person, and what was looked for there.

    `place` is one of the names in `galwad.cases.scope`; that of a directory follows "directory: ".
    `spelling` is the text that was compared, such as a number in E.164. `found` counts the calls,
    or the people in a directory. `failed` is "" if the search was complete. Otherwise the directory
    cannot be searched by a text ("no-text-search"), did not answer ("no-answer") or knows too many
    people ("too-many"); or the text is "too-short", or a number of the person "unreadable".
    """

    place: str
    spelling: str
    found: int
    failed: str = ""


@dataclass(frozen=True, slots=True)
class CaseSearch:
    """A search for the calls of a person, made for a case. `at` is in Unix seconds.

    `text` is what the officer gave. `person` is the entry of a directory that they chose, or "".
    `found` counts the calls.
    """

    position: int
    text: str
    person: str
    places: tuple[SearchedPlace, ...]
    found: int
    actor: str
    at: float


@dataclass(frozen=True, slots=True)
class CaseCall:
    """A call that was found for a case. `started` is in Unix seconds.

    `searches` are the positions of the searches that found it. `excluded` says why it is no part of
    the answer; it is "" if the call is.
    """

    call_id: str
    started: float
    searches: tuple[int, ...]
    excluded: str


@dataclass(frozen=True, slots=True)
class CaseOnDay:
    """A case with its steps, and its deadlines on one day."""

    case: Case
    steps: tuple[StoredStep, ...]
    deadlines: Deadlines


class CaseStore:
    """Reads cases. The functions below write them, in a transaction of their caller."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self, today: date, *, closed: bool = False) -> list[CaseOnDay]:
        """Return the cases, those with the earliest deadline first; with `closed`, closed ones too.

        Cases without a deadline follow, in the order of their receipt.
        """
        statement = select(cases)
        if not closed:
            own = steps.c.case_id == cases.c.case_id
            statement = statement.where(
                ~exists().where(own, steps.c.kind == "closed", steps.c.withdrawn == "")
            )
        found = await self._read(statement, today)
        return sorted(found, key=lambda each: (_next(each), each.case.received, each.case.case_id))

    async def one(self, case_id: int, today: date) -> CaseOnDay | None:
        """Return a case; None if no case has this number."""
        found = await self._read(select(cases).where(cases.c.case_id == case_id), today)
        return found[0] if found else None

    async def _read(self, statement: Select[Any], today: date) -> list[CaseOnDay]:
        async with self._engine.connect() as connection:
            rows = [_case_of(row) for row in (await connection.execute(statement)).mappings()]
            ids = statement.with_only_columns(cases.c.case_id)
            of_cases = (
                select(steps).where(steps.c.case_id.in_(ids)).order_by(*steps.primary_key.columns)
            )
            found: dict[int, list[StoredStep]] = {row.case_id: [] for row in rows}
            for row in (await connection.execute(of_cases)).mappings():
                found[row["case_id"]].append(_step_of(row))
        return [
            CaseOnDay(
                row,
                tuple(found[row.case_id]),
                deadlines(row.kind, row.received, valid(found[row.case_id]), today),
            )
            for row in rows
        ]

    async def searches(self, case_id: int) -> list[CaseSearch]:
        """Return the searches of a case, the first one first."""
        statement = (
            select(searches)
            .where(searches.c.case_id == case_id, ~searches.c.removed)
            .order_by(searches.c.position)
        )
        async with self._engine.connect() as connection:
            return [_search_of(row) for row in (await connection.execute(statement)).mappings()]

    async def calls(self, case_id: int, limit: int, after: Cursor | None = None) -> list[CaseCall]:
        """Return at most `limit` calls that were found for a case, the newest first."""
        own = found_calls.c
        excluded = exclusions.c.case_id == own.case_id, exclusions.c.call_id == own.call_id
        statement = (
            select(
                own.call_id,
                own.started,
                func.group_concat(own.search),
                func.coalesce(func.max(exclusions.c.reason), ""),
            )
            .outerjoin(exclusions, and_(*excluded))
            .where(own.case_id == case_id)
            .group_by(own.started, own.call_id)
            .order_by(own.started.desc(), own.call_id.desc())
            .limit(limit)
        )
        if after is not None:
            place = tuple_(literal(after.at), literal(after.call_id))
            statement = statement.where(tuple_(own.started, own.call_id) < place)
        async with self._engine.connect() as connection:
            return [
                CaseCall(call_id, started, tuple(sorted(map(int, by.split(",")))), excluded)
                for call_id, started, by, excluded in await connection.execute(statement)
            ]

    async def opened_in(self, call_ids: Collection[str]) -> list[tuple[str, OpenedCase]]:
        """Return the cases whose request was made in one of these calls, each with its call."""
        wanted, own = list(call_ids), cases.c
        found = []
        async with self._engine.connect() as connection:
            for at in range(0, len(wanted), MOST_IDS):
                statement = (
                    select(own.call_id, own.case_id, own.kind)
                    .where(own.call_id.in_(wanted[at : at + MOST_IDS]))
                    .order_by(own.case_id)
                )
                for call_id, case_id, kind in await connection.execute(statement):
                    found.append((call_id, OpenedCase(case_id, kind)))
        return found

    async def cases_of(self, call_ids: Collection[str]) -> set[int]:
        """Return the numbers of the cases for which one of these calls was found."""
        found: set[int] = set()
        wanted = list(call_ids)
        async with self._engine.connect() as connection:
            for at in range(0, len(wanted), MOST_IDS):
                some = found_calls.c.call_id.in_(wanted[at : at + MOST_IDS])
                found |= set(await connection.scalars(select(found_calls.c.case_id).where(some)))
        return found

    async def has_call(self, case_id: int, call_id: str) -> bool:
        """Return whether a search for the case has found the call, even if it is excluded."""
        own = found_calls.c
        statement = select(literal(1)).where(own.case_id == case_id, own.call_id == call_id)
        async with self._engine.connect() as connection:
            return await connection.scalar(statement.limit(1)) is not None

    async def included(self, case_id: int, call_ids: Collection[str]) -> set[str]:
        """Return those of these calls that the case has and does not exclude."""
        own, gone = found_calls.c, exclusions.c
        excluded = select(gone.call_id).where(gone.case_id == case_id)
        statement = select(own.call_id).where(
            own.case_id == case_id, own.call_id.in_(call_ids), own.call_id.not_in(excluded)
        )
        async with self._engine.connect() as connection:
            return set(await connection.scalars(statement))

    async def count_calls(self, case_id: int) -> tuple[int, int]:
        """Return how many calls were found for a case, and how many of these are excluded."""
        own = found_calls.c
        every = select(func.count(own.call_id.distinct())).where(own.case_id == case_id)
        excluded = select(exclusions.c.call_id).where(exclusions.c.case_id == case_id)
        some = every.where(own.call_id.in_(excluded))
        async with self._engine.connect() as connection:
            return (await connection.scalar(every)) or 0, (await connection.scalar(some)) or 0


def valid(of_case: Sequence[StoredStep]) -> list[DatedStep]:
    """Return the steps that were not withdrawn."""
    return [DatedStep(each.kind, each.day) for each in of_case if not each.withdrawn]


async def add_case(connection: AsyncConnection, case: Case) -> int:
    """Store a new case, and return its number. The caller commits."""
    row = {name: getattr(case, name) for name in Case.__dataclass_fields__ if name != "case_id"}
    row["received"] = case.received.isoformat()
    statement = insert(cases).values(**row).returning(cases.c.case_id)
    return int((await connection.execute(statement)).scalar_one())


async def same_case(connection: AsyncConnection, case: Case) -> int | None:
    """Return the open case of the same kind and name that began in the same call; None without."""
    own, of_case = cases.c, steps.c.case_id == cases.c.case_id
    closed = exists().where(of_case, steps.c.kind == "closed", steps.c.withdrawn == "")
    same = own.kind == case.kind, own.name == case.name, own.call_id == case.call_id
    statement = select(own.case_id).where(*same, own.call_id != "", ~closed)
    return await connection.scalar(statement)


async def change_case(
    connection: AsyncConnection, case_id: int, version: int, **values: object
) -> bool:
    """Change a case and its version; return False if it has another one. The caller commits."""
    own = cases.c
    statement = (
        update(cases)
        .where(own.case_id == case_id, own.version == version)
        .values(version=own.version + 1, **values)
    )
    return (await connection.execute(statement)).rowcount > 0


async def touch(connection: AsyncConnection, case_id: int) -> None:
    """Give a case its next version, because its searches or calls change. The caller commits."""
    statement = update(cases).where(cases.c.case_id == case_id)
    await connection.execute(statement.values(version=cases.c.version + 1))


async def is_closed(connection: AsyncConnection, case_id: int) -> bool:
    """Return whether a case is closed."""
    closing = steps.c.kind == "closed", steps.c.withdrawn == ""
    statement = select(literal(1)).where(steps.c.case_id == case_id, *closing)
    return await connection.scalar(statement) is not None


async def add_step(connection: AsyncConnection, case_id: int, step: StoredStep) -> None:
    """Store a step of a case. The caller commits."""
    row = {name: getattr(step, name) for name in StoredStep.__dataclass_fields__}
    row["day"] = step.day.isoformat()
    await connection.execute(insert(steps).values(case_id=case_id, **row))


async def withdraw_step(
    connection: AsyncConnection, case_id: int, position: int, reason: str
) -> None:
    """Mark a step as entered by mistake. The caller commits."""
    own = steps.c.case_id == case_id, steps.c.position == position
    await connection.execute(update(steps).where(*own).values(withdrawn=reason))


async def add_search(
    connection: AsyncConnection, case_id: int, search: CaseSearch, found: Mapping[str, float]
) -> tuple[CaseSearch, int]:
    """Store a search and the calls that it found. The caller commits.

    `search.position` does not matter. `found` has the start of each call by its id (Unix seconds).
    Return the search with its position, and how many of the calls the case did not have.
    """
    own, calls = searches.c, found_calls.c
    last = select(func.coalesce(func.max(own.position), 0)).where(own.case_id == case_id)
    stored = replace(search, position=int((await connection.scalar(last)) or 0) + 1)
    row = {name: getattr(stored, name) for name in CaseSearch.__dataclass_fields__}
    places = [{name: getattr(each, name) for name in each.__slots__} for each in search.places]
    row |= {"places": json.dumps(places, ensure_ascii=False), "removed": False}
    await connection.execute(insert(searches).values(case_id=case_id, **row))
    known_rows = select(calls.call_id, calls.started).where(calls.case_id == case_id)
    known = {row.call_id: row.started for row in await connection.execute(known_rows)}
    rows = [
        {
            "case_id": case_id,
            "call_id": call_id,
            "search": stored.position,
            # The places do not agree to the second when a call began.
            "started": known.get(call_id, started),
        }
        for call_id, started in found.items()
    ]
    if rows:
        await connection.execute(insert(found_calls), rows)
    return stored, len(set(found) - set(known))


async def remove_search(connection: AsyncConnection, case_id: int, position: int) -> bool:
    """Remove a search and the calls that only it has found; return False if there is no such one.

    The exclusions stay, so that a call that is found again is still excluded. The caller commits.
    """
    which = searches.c.case_id == case_id, searches.c.position == position, ~searches.c.removed
    removed = await connection.execute(update(searches).where(*which).values(removed=True))
    own = found_calls.c
    await connection.execute(
        delete(found_calls).where(own.case_id == case_id, own.search == position)
    )
    return removed.rowcount > 0


async def exclude_calls(
    connection: AsyncConnection, case_id: int, call_ids: Collection[str], reason: str
) -> set[str]:
    """Exclude calls from the answer for this reason, or with "" include them again.

    Return those of the calls that the case has. The caller commits.
    """
    own = found_calls.c
    known = set(
        await connection.scalars(
            select(own.call_id).where(own.case_id == case_id, own.call_id.in_(call_ids))
        )
    )
    gone = exclusions.c
    await connection.execute(
        delete(exclusions).where(gone.case_id == case_id, gone.call_id.in_(known))
    )
    if reason and known:
        rows = [{"case_id": case_id, "call_id": each, "reason": reason} for each in known]
        await connection.execute(insert(exclusions), rows)
    return known


def _next(found: CaseOnDay) -> date:
    return found.deadlines.next or date.max


def _case_of(row: Any) -> Case:
    return Case(**{**row, "received": date.fromisoformat(row["received"])})


def _step_of(row: Any) -> StoredStep:
    values = {name: row[name] for name in StoredStep.__dataclass_fields__}
    return StoredStep(**{**values, "day": date.fromisoformat(row["day"])})


def _search_of(row: Any) -> CaseSearch:
    places = cast("list[dict[str, Any]]", json.loads(row["places"]))
    values = {name: row[name] for name in CaseSearch.__dataclass_fields__}
    return CaseSearch(**{**values, "places": tuple(SearchedPlace(**each) for each in places)})
