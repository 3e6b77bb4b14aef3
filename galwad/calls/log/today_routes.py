"""The endpoint for the calls of today of the signed-in user."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row

from galwad.calls.live_calls import shown_number
from galwad.calls.log.day import day_of
from galwad.calls.log.today_bodies import MissedCall, NoteState, Today, TodaysCall, TodaysTransfer
from galwad.people.access import Person, TheDesk
from galwad.periods import period

router = APIRouter(tags=["today"])


@router.get("/today")
async def today(desk: TheDesk, session: Person) -> Today:
    """Return the signed-in user's calls of today, missed calls and transfers.

    The day is a day of the desk's time zone. No other user's day can be requested.
    """
    span = period("today", time.time(), desk.settings.desk.time_zone)
    day = await day_of(desk.engine, session.user, span)
    return Today(
        since=span.since,
        calls=[
            TodaysCall(
                **_plain(row),
                outgoing=row.outgoing,
                length=row.talk_us / 1e6,
                purpose=row.purpose or "",
                note=_note_of(row),
            )
            for row in day.calls
        ],
        missed=[
            MissedCall(**_plain(row), waited=row.ended - row.started, outcome=row.outcome)
            for row in day.missed
        ],
        transfers=[
            TodaysTransfer(
                call_id=row.call_id,
                at=row.at,
                line=row.line,
                destination=row.sent_to,
                result=row.result,
            )
            for row in day.transfers
        ],
        cut=day.cut,
    )


def _plain(row: Row[Any]) -> dict[str, Any]:
    """Return the fields that each call of the day has."""
    return {
        "call_id": row.call_id,
        "started": row.started,
        "line": row.line,
        "number": row.number or None,
        "number_display": shown_number(row.number) if row.number else None,
        "withheld": row.withheld,
    }


def _note_of(row: Row[Any]) -> NoteState:
    if row.version is None:
        return ""
    if row.no_note_reason:
        return "not_needed"
    return "saved" if row.version else "missing"
