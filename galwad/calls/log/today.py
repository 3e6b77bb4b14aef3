"""An advisor's day in the log of calls, and the endpoint that returns it."""

from __future__ import annotations

import time
from typing import Any, Final, Literal, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.calls.live_calls import shown_number
from galwad.calls.log.logged_call import MISSED, PartRole
from galwad.calls.log.store import logged_calls, logged_parts
from galwad.calls.subject import TheDesk
from galwad.notes.store import notes
from galwad.people.access import Person
from galwad.people.user import User
from galwad.periods import Period, period

MOST_CALLS: Final = 200
"""The most entries of each list. An advisor takes about eighty calls a day."""
NoteState: TypeAlias = Literal["", "missing", "saved", "not_needed"]


class CallOfToday(BaseModel):
    """The base class of the calls in today's lists. `TodaysCall` explains the numbers."""

    call_id: str
    started: float
    line: str
    number: str | None
    number_display: str | None
    withheld: bool


class TodaysCall(CallOfToday):
    """A call of today that has ended.

    `number` is the number of the caller or, in an outgoing call, of the called party. It is in
    E.164, or an internal extension. `number_display` is this number as people write it. Both are
    None if the number is not known, or no longer kept. `length` is in seconds. `note` is the state
    of the advisor's contact note; "" if the call needs none, or if its note is another advisor's.
    `purpose` is the purpose of the note.
    """

    outgoing: bool
    length: float
    purpose: str
    note: NoteState


class MissedCall(CallOfToday):
    """A call of today that rang at the advisor's phone and that no advisor answered.

    It is listed until a later call with its number is answered. `waited` is the time in seconds
    from the call's start to its end. `outcome` says how it ended: the caller hung up ("abandoned"),
    the phones refused it ("refused"), or no advisor answered ("missed").
    """

    waited: float
    outcome: Literal["missed", "abandoned", "refused"]


class TodaysTransfer(BaseModel):
    """A transfer by the advisor, and its result.

    `result` says that the destination is "ringing" or has "answered", that the call has "returned"
    to the advisor, or that it was "lost": it ended before the destination answered.
    """

    call_id: str
    at: float
    line: str
    destination: str
    result: Literal["ringing", "answered", "returned", "lost"]


class Today(BaseModel):
    """The advisor's day: each list has the newest first.

    `since` is the beginning of the day, in Unix seconds. `cut` is true if a list is not complete.
    """

    since: float
    calls: list[TodaysCall]
    missed: list[MissedCall]
    transfers: list[TodaysTransfer]
    cut: bool


async def day_of(engine: AsyncEngine, user: User, day: Period) -> Today:
    """Return the calls of this user in a period, such as today.

    A call that a colleague answered is not missed.
    """
    async with engine.connect() as connection:
        calls, missed, transfers = [
            (await connection.execute(query.limit(MOST_CALLS + 1))).all()
            for query in (_calls(user, day), _missed(user, day), _transfers(user, day))
        ]
    return Today(
        since=day.since,
        calls=[
            TodaysCall(
                **_plain(row),
                outgoing=row.outgoing,
                length=row.talk_us / 1e6,
                purpose=row.purpose or "",
                note=_note_of(row),
            )
            for row in calls[:MOST_CALLS]
        ],
        missed=[
            MissedCall(**_plain(row), waited=row.ended - row.started, outcome=row.outcome)
            for row in missed[:MOST_CALLS]
        ],
        transfers=[
            TodaysTransfer(
                call_id=row.call_id,
                at=row.at,
                line=row.line,
                destination=row.sent_to,
                result=row.result,
            )
            for row in transfers[:MOST_CALLS]
        ],
        cut=max(len(calls), len(missed), len(transfers)) > MOST_CALLS,
    )


def _calls(user: User, day: Period) -> Select[Any]:
    own_note = and_(
        notes.c.call_id == logged_calls.c.call_id,
        or_(notes.c.advisor == user.name, notes.c.advisor == ""),
    )
    note = notes.c.purpose, notes.c.no_note_reason, notes.c.version
    part = and_(_part_of(user, "had", day), logged_calls.c.outgoing.is_(False))
    made = and_(_part_of(user, "made", day), logged_calls.c.outgoing.is_(True))
    return (
        select(logged_calls, *note)
        .outerjoin(notes, own_note)
        .where(
            or_(part, made),
            logged_calls.c.ended > 0,
            or_(logged_calls.c.internal.is_(False), logged_calls.c.outgoing.is_(True)),
        )
        .order_by(logged_calls.c.started.desc(), logged_calls.c.call_id)
    )


def _missed(user: User, day: Period) -> Select[Any]:
    later = logged_calls.alias("later")
    rung_back = exists().where(
        later.c.number == logged_calls.c.number,
        later.c.number != "",
        later.c.started > logged_calls.c.started,
        later.c.answered > 0,
    )
    return (
        select(logged_calls)
        .where(
            _part_of(user, "rang", day),
            logged_calls.c.outcome.in_(MISSED),
            logged_calls.c.outgoing.is_(False),
            ~rung_back,
        )
        .order_by(logged_calls.c.started.desc(), logged_calls.c.call_id)
    )


def _transfers(user: User, day: Period) -> Select[Any]:
    sent = logged_parts.c
    return (
        select(logged_calls, sent.at, sent.destination.label("sent_to"), sent.result)
        .join(logged_parts, sent.call_id == logged_calls.c.call_id)
        .where(_is_phone_of(user), sent.role == "sent", sent.at >= day.since, sent.at < day.until)
        .order_by(sent.at.desc(), logged_calls.c.call_id)
    )


def _part_of(user: User, role: PartRole, day: Period) -> ColumnElement[bool]:
    part = logged_parts.c
    own = select(part.call_id).where(
        _is_phone_of(user), part.role == role, part.at >= day.since, part.at < day.until
    )
    return logged_calls.c.call_id.in_(own)


def _is_phone_of(user: User) -> ColumnElement[bool]:
    """Return the condition that a part belongs to the user's phone, as for live calls."""
    part = logged_parts.c
    mine = part.user == user.name
    if not user.extension:
        return mine
    return or_(mine, and_(part.user == "", part.extension == user.extension))


def _plain(row: Row[Any]) -> dict[str, Any]:
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


router = APIRouter(tags=["today"])


@router.get("/today")
async def today(desk: TheDesk, session: Person) -> Today:
    """Return the signed-in user's calls of today, missed calls and transfers.

    The day is a day of the desk's time zone. No other user's day can be requested.
    """
    span = period("today", time.time(), desk.host.settings.desk.time_zone)
    return await day_of(desk.host.engine, session.user, span)
