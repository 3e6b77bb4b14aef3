"""The figures of a period, added up from the log of calls, and their export as CSV.

The database adds up the calls of each quarter of an hour, because every time zone differs from UTC
by whole quarters. So this module reads no single call. Calls that the centre made, and internal
calls, are not counted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field, computed_field
from sqlalchemy import Integer, Row, and_, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.calls.log.logged_call import MISSED
from galwad.calls.log.store import logged_calls
from galwad.calls.subject import CallsDesk, TheDesk
from galwad.host.host import span_of
from galwad.notes.store import notes
from galwad.people.access import Supervisor
from galwad.periods import Period, name_of

_QUARTER_S: Final = 900


@dataclass(slots=True, kw_only=True)
class CallFigures:
    """Figures of some calls. Only answered calls count for `mean_waiting_s` and the talk times.

    `longest_waiting_s` is the longest time until an answer, or until the end of a call that was not
    answered. `abandoned` counts callers who hung up before an answer. `refused` counts calls whose
    phones were busy or declined. `missed` counts other calls that were not answered.
    """

    calls: int = 0
    answered: int = 0
    missed: int = 0
    abandoned: int = 0
    refused: int = 0
    transferred: int = 0
    answered_waiting_s: Annotated[float, Field(exclude=True)] = 0.0
    """The sum of the times until the answers."""
    longest_waiting_s: float = 0.0
    talk_s: Annotated[float, Field(exclude=True)] = 0.0
    longest_talk_s: float = 0.0
    pauses: int = 0
    gaps: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_waiting_s(self) -> float:
        """The mean time until the answer of the answered calls; 0 if there are none."""
        return self.answered_waiting_s / self.answered if self.answered else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean_talk_s(self) -> float:
        """The mean length of the answered calls; 0 if there are none."""
        return self.talk_s / self.answered if self.answered else 0.0

    def add(self, row: Row[Any]) -> None:
        """Add the row of a group of calls that have the same outcome."""
        self.calls += row.calls
        setattr(self, row.outcome, getattr(self, row.outcome) + row.calls)
        self.transferred += row.transferred
        if row.outcome == "answered":
            self.answered_waiting_s += row.waiting
            self.talk_s += row.talk_us / 1e6
            self.longest_talk_s = max(self.longest_talk_s, row.longest_talk_us / 1e6)
        self.longest_waiting_s = max(self.longest_waiting_s, row.longest_waiting)
        self.pauses += row.pauses
        self.gaps += row.gaps


@dataclass(slots=True, kw_only=True)
class LineFigures(CallFigures):
    """The figures of one line."""

    line: str


@dataclass(slots=True, kw_only=True)
class HourFigures(CallFigures):
    """The figures of the calls that began in one hour of the day, from 0 to 23, in local time.

    When the clock is set back, the hour that comes twice counts as one hour.
    """

    hour: int


@dataclass(slots=True, kw_only=True)
class LanguageFigures(CallFigures):
    """The figures of one language: "en", "cy", or "" if it is not known."""

    language: str


@dataclass(frozen=True, slots=True)
class CallsFigures:
    """The figures of a period, from `since` up to but not including `until` (Unix seconds)."""

    since: float
    until: float
    total: CallFigures
    by_line: Sequence[LineFigures]
    by_hour: Sequence[HourFigures]
    by_language: Sequence[LanguageFigures]


async def figures_of(engine: AsyncEngine, span: Period, zone: tzinfo | None) -> CallsFigures:
    """Return the figures of the calls that began in this period and have ended.

    Hours are in `zone`; None means the local time zone. The language is that of the contact note,
    else of the confirmed caller, else "".
    """
    call = logged_calls.c
    answered = call.outcome == "answered"
    waiting = case((answered, call.answered), else_=call.ended) - call.started
    written = case((notes.c.version > 0, notes.c.language), else_="")
    language = func.coalesce(func.nullif(written, ""), call.language)
    quarter = cast(call.started, Integer) // _QUARTER_S
    groups = (quarter.label("quarter"), call.line, language.label("language"), call.outcome)
    query = (
        select(
            *groups,
            func.count().label("calls"),
            func.sum(case((call.transfers > 0, 1), else_=0)).label("transferred"),
            func.sum(waiting).label("waiting"),
            func.max(waiting).label("longest_waiting"),
            func.sum(call.talk_us).label("talk_us"),
            func.max(call.talk_us).label("longest_talk_us"),
            func.sum(call.pauses).label("pauses"),
            func.sum(call.gaps).label("gaps"),
        )
        .outerjoin(notes, notes.c.call_id == call.call_id)
        .where(
            and_(call.started >= span.since, call.started < span.until),
            call.outcome.in_(("answered", *MISSED)),
            call.outgoing.is_(False),
            call.internal.is_(False),
        )
        .group_by(*groups)
    )
    total = CallFigures()
    by_line: dict[str, LineFigures] = {}
    by_hour: dict[int, HourFigures] = {}
    by_language: dict[str, LanguageFigures] = {}
    async with engine.connect() as connection:
        for row in await connection.execute(query):
            hour = datetime.fromtimestamp(row.quarter * _QUARTER_S, zone).hour
            total.add(row)
            by_line.setdefault(row.line, LineFigures(line=row.line)).add(row)
            by_hour.setdefault(hour, HourFigures(hour=hour)).add(row)
            by_language.setdefault(row.language, LanguageFigures(language=row.language)).add(row)
    return CallsFigures(
        span.since,
        span.until,
        total,
        [by_line[name] for name in sorted(by_line)],
        [by_hour[each] for each in sorted(by_hour)],
        [by_language[name] for name in sorted(by_language)],
    )


router = APIRouter(tags=["figures"])
When = Annotated[str, Query(min_length=1, max_length=40)]
_COLUMNS: Final = (
    *("calls", "answered", "missed", "abandoned", "refused", "transferred"),
    *("mean_waiting_s", "longest_waiting_s", "mean_talk_s", "longest_talk_s", "pauses", "gaps"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""The characters with which a spreadsheet recognizes a formula."""


@router.get("/figures")
async def figures(desk: TheDesk, _: Supervisor, when: When = "today") -> CallsFigures:
    """Return the figures of a period that is given in words, such as "today". They name no person.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    return await _figures(desk, when)


@router.get(
    "/figures/export", response_class=Response, responses={200: {"content": {"text/csv": {}}}}
)
async def export(desk: TheDesk, session: Supervisor, when: When = "today") -> Response:
    """Return the figures of a period as a CSV file. The export is entered in the audit chain first.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    found = await _figures(desk, when)
    facts = {"since": int(found.since), "until": int(found.until)}
    await desk.host.audit.append("figures.exported", facts, {"actor": session.actor})
    name = {"Content-Disposition": 'attachment; filename="galwad-figures.csv"'}
    text = _csv(found, name_of(desk.host.settings.desk.time_zone))
    # Excel reads a file as UTF-8 only if it begins with a byte order mark.
    return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=name)


async def _figures(desk: CallsDesk, when: str) -> CallsFigures:
    span = span_of(when, desk) or Period(0.0, 0.0)
    return await figures_of(desk.host.engine, span, desk.host.settings.desk.time_zone)


def _csv(found: CallsFigures, zone: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("group", "name", *_COLUMNS))
    for group, name, row in _rows(found, zone):
        values = (f"{value:.1f}" if isinstance(value, float) else value for value in row)
        writer.writerow((group, _harmless(name), *values))
    return text.getvalue()


def _rows(found: CallsFigures, zone: str) -> Iterable[tuple[str, str, list[float]]]:
    hours = f"hour ({zone})" if zone else "hour"
    named = [
        ("total", "", found.total),
        *(("line", row.line, row) for row in found.by_line),
        *((hours, f"{row.hour:02}:00", row) for row in found.by_hour),
        *(("language", row.language or "unknown", row) for row in found.by_language),
    ]
    for group, name, row in named:
        yield group, name, [getattr(row, column) for column in _COLUMNS]


def _harmless(text: str) -> str:
    """Return the text so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
