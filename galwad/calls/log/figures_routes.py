"""The endpoints for the supervisors' figures, and for their export as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from galwad.archive.routes import span_of
from galwad.calls.log.figures import CallFigures, figures_of
from galwad.calls.log.figures_bodies import (
    CallsFigures,
    FiguresRow,
    HourFigures,
    LanguageFigures,
    LineFigures,
)
from galwad.desk import Desk
from galwad.people.access import Supervisor, TheDesk
from galwad.periods import Period
from galwad.time_zones import name_of

router = APIRouter(tags=["figures"])
When = Annotated[str, Query(min_length=1, max_length=40)]
_COLUMNS: Final = tuple(FiguresRow.model_fields)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""The characters with which a spreadsheet recognizes a formula."""


@router.get("/figures")
async def figures(desk: TheDesk, _: Supervisor, when: When = "today") -> CallsFigures:
    """Return the figures of the calls of a period in words, such as "today". They name no person.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    return await _figures(desk, when)


@router.get(
    "/figures/export", response_class=Response, responses={200: {"content": {"text/csv": {}}}}
)
async def export(desk: TheDesk, session: Supervisor, when: When = "today") -> Response:
    """Return the same figures as a CSV file, and enter the export in the audit chain first.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    found = await _figures(desk, when)
    facts = {"since": int(found.since), "until": int(found.until)}
    await desk.audit.append("figures.exported", facts, {"actor": session.actor})
    name = {"Content-Disposition": 'attachment; filename="galwad-figures.csv"'}
    text = _csv(found, name_of(desk.settings.desk.time_zone))
    # Excel reads a file as UTF-8 only if it begins with a byte order mark.
    return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=name)


async def _figures(desk: Desk, when: str) -> CallsFigures:
    span = span_of(when, desk) or Period(0.0, 0.0)
    found = await figures_of(desk.engine, span, desk.settings.desk.time_zone)
    return CallsFigures(
        since=span.since,
        until=span.until,
        total=FiguresRow.model_validate(found.total),
        by_line=[LineFigures(line=name, **_plain(row)) for name, row in found.by_line.items()],
        by_hour=[HourFigures(hour=hour, **_plain(row)) for hour, row in found.by_hour.items()],
        by_language=[
            LanguageFigures(language=name, **_plain(row)) for name, row in found.by_language.items()
        ],
    )


def _plain(row: CallFigures) -> dict[str, Any]:
    return FiguresRow.model_validate(row).model_dump()


def _csv(found: CallsFigures, zone: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("group", "name", *_COLUMNS))
    for group, name, row in _rows(found, zone):
        values = (f"{value:.1f}" if isinstance(value, float) else value for value in row)
        writer.writerow((group, _harmless(name), *values))
    return text.getvalue()


def _rows(found: CallsFigures, zone: str) -> Iterable[tuple[str, str, list[float]]]:
    """Yield a group, a name and the values for each row. `zone` names the zone of the hours."""
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
