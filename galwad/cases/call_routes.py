"""The endpoint by which an advisor opens a case, because the caller asks for it in a call."""

from __future__ import annotations

import time
from math import ceil

from fastapi import APIRouter

from galwad.calls.bodies import Pop
from galwad.calls.subject import live_call, own_call
from galwad.cases.routes import CallCase, add_case
from galwad.cases.store import Case
from galwad.cases.subject import OPENED, TheDesk
from galwad.host.errors import ApiError
from galwad.messages import Alarm
from galwad.people.access import Person

router = APIRouter(tags=["calls"])


@router.post("/calls/{call_id}/cases", status_code=201)
async def open_in_call(call_id: str, body: CallCase, desk: TheDesk, session: Person) -> Pop:
    """Open a case, because the caller asks for their data, or complains about their use.

    The clock of the case starts on the day of the call. The case has no owner until an
    administrator takes it, for which the alarm `case.opened` asks. Its reference is the id of the
    call. In the answer, `cases` has its number.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, the call is not answered yet, or an open case of this kind for this
            person began in it already. 422, `representative` is given without `authority`, or the
            other way round. 429, too many cases.
    """
    call = live_call(desk, session, call_id)
    if not call.is_placed_by(session.user):
        own_call(desk, session, call_id)
    wait = ceil(desk.cases.opened_by_users.take(session.user.name))
    if wait:
        raise ApiError(429, "too many requests", f"try again in {wait} s", retry_after=wait)
    case = Case(
        case_id=0,
        **body.model_dump(),
        reference=call_id,
        channel="telephone",
        call_id=call_id,
        received=min(desk.cases.day_of(call.state.started), desk.cases.today()),
        owner="",
        opened=time.time(),
        version=1,
    )
    case_id = await add_case(desk, session, case, call.state.started)
    desk.host.alarm(Alarm(OPENED, None, f"{case_id}: {case.kind}"))
    return (desk.calls.live.get(call_id) or call).view(session.user)
