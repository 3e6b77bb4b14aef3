"""Endpoints for the list of alarms, and for their handling by supervisors."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from datetime import datetime

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError

from galwad.calls.alarms.alarm_list import AlarmError
from galwad.calls.alarms.store import StoredAlarm
from galwad.calls.subject import CallsDesk, TheDesk
from galwad.host.bodies import RequestBody, ShortText
from galwad.host.errors import ApiError
from galwad.people.access import Person, Supervisor

router = APIRouter(tags=["alarms"])


class CloseAlarm(RequestBody):
    """A request to close an alarm, perhaps with a remark."""

    remark: ShortText = ""


@router.get("/alarms")
async def listed(desk: TheDesk, session: Person) -> list[StoredAlarm]:
    """Return the alarms that are open or taken, and those that were closed today.

    An advisor receives only the alarms of their own calls, and those for everybody.
    """
    midnight = _midnight(desk)
    return [
        alarm.shown_to(supervises=session.user.supervises)
        for alarm in desk.calls.alarms_of(session.user)
        if not alarm.closed or alarm.closed >= midnight
    ]


@router.post("/alarms/{alarm_id}/take")
async def take(alarm_id: str, desk: TheDesk, session: Supervisor) -> StoredAlarm:
    """Take an alarm: the user handles it. Repeating this changes nothing.

    Raises:
        ApiError: 404, no alarm has this id. 409, another user has taken the alarm, or it is closed.
            503, the decision cannot be stored.
    """
    _find(desk, session, alarm_id)
    return await _decided(desk.calls.alarms.take(alarm_id, session.user.name, session.actor))


@router.post("/alarms/{alarm_id}/release")
async def release(alarm_id: str, desk: TheDesk, session: Supervisor) -> StoredAlarm:
    """Give an alarm back, so that another user can take it. Repeating this changes nothing.

    An administrator may also give back an alarm that another user has taken.

    Raises:
        ApiError: 404, no alarm has this id. 409, another user has taken the alarm and the user is
            not an administrator, or the alarm is closed. 503, the decision cannot be stored.
    """
    _find(desk, session, alarm_id)
    user = session.user
    return await _decided(
        desk.calls.alarms.release(
            alarm_id, user.name, session.actor, for_others=user.role == "admin"
        )
    )


@router.post("/alarms/{alarm_id}/close")
async def close(
    alarm_id: str, desk: TheDesk, session: Supervisor, body: CloseAlarm | None = None
) -> StoredAlarm:
    """Close an alarm, perhaps with a remark. Repeating this changes nothing.

    Raises:
        ApiError: 404, no alarm has this id. 503, the decision cannot be stored.
    """
    _find(desk, session, alarm_id)
    remark = body.remark if body is not None else ""
    return await _decided(
        desk.calls.alarms.close(alarm_id, session.user.name, session.actor, remark)
    )


def _find(desk: CallsDesk, session: Supervisor, alarm_id: str) -> None:
    alarm = desk.calls.alarms.find(alarm_id)
    if alarm is None or not desk.calls.may_see_alarm(session.user, alarm):
        raise ApiError(404, "no alarm has this id", "list the alarms again")


async def _decided(decision: Awaitable[StoredAlarm]) -> StoredAlarm:
    """Return the alarm after a decision. Raises `ApiError` (409 or 503) or `AuditError`."""
    try:
        return await decision
    except AlarmError as error:
        raise ApiError(409, str(error), error.hint) from None
    except SQLAlchemyError:
        raise ApiError(
            503, "the alarm cannot be stored", "nothing has changed: try again"
        ) from None


def _midnight(desk: CallsDesk) -> float:
    now = datetime.fromtimestamp(time.time(), desk.host.settings.desk.time_zone).astimezone(
        desk.host.settings.desk.time_zone
    )
    return now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
