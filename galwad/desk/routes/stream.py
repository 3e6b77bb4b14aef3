"""The endpoint for the event stream, which sends changes to a page.

A new page's stream begins with a snapshot of all live calls. After a lost connection, a page's
stream begins with the events that the page has missed. After that the stream sends each change that
the signed-in user may see.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from galwad.desk.auth.sessions import Session
from galwad.desk.models.calls import PageSnapshot
from galwad.desk.routes.access import Person, TheDesk
from galwad.desk.routes.accounts import me_of
from galwad.desk.service import Desk

router = APIRouter()

# A stream that has no event to send checks again after this number of seconds whether its user is
# still signed in. The stream sends no heartbeats itself, because FastAPI sends them.
CHECK_S = 10.0
_EVENT_ID = re.compile(r"[0-9]{1,18}")


@router.get("/events", response_class=EventSourceResponse)
async def events(
    desk: TheDesk,
    session: Person,
    last_event_id: Annotated[str, Header()] = "",
) -> AsyncIterator[ServerSentEvent]:
    """Send the changes of live calls and the alarms to a page, as a stream of events.

    After a lost connection, the page sends the header field `Last-Event-ID` with the id of the
    newest event that it has received. The stream then continues with the next event. If the next
    event is no longer stored, the stream begins with a snapshot instead.
    """
    position = int(last_event_id) if _EVENT_ID.fullmatch(last_event_id) else -1
    looked = time.monotonic() - CHECK_S
    with desk.metrics.streams.track_inprogress():
        while True:
            turn = desk.hub.wake_count
            busy = False
            # While the user talks on a call, the user's session counts as used. The search for such
            # a call reads all live calls, so it is made at most once in `CHECK_S` seconds.
            if time.monotonic() - looked >= CHECK_S:
                looked = time.monotonic()
                busy = any(call.is_talking(session.user) for call in desk.calls.all())
            if desk.hub.closed or not await desk.sessions.alive(session, busy=busy):
                return
            news = desk.hub.since(position)
            if news is None:
                position = desk.hub.last
                yield _snapshot(desk, session, position)
                continue
            for event in news:
                position = event.id
                sent = event.view_for(session.user)
                if sent is not None:
                    yield ServerSentEvent(event=sent[0], id=str(event.id), data=sent[1])
            await desk.hub.wait(turn, CHECK_S)


def _snapshot(desk: Desk, session: Session, position: int) -> ServerSentEvent:
    user = session.user
    snapshot = PageSnapshot(
        calls=[call.view(user) for call in desk.calls.all() if call.visible(user)],
        me=me_of(desk, session),
        now=time.time(),
        switch=desk.switch.connected,
        pause_reminder=desk.options.pause_reminder,
        pause_alarm=desk.options.pause_alarm,
    )
    return ServerSentEvent(event="snapshot", id=str(position), data=snapshot)
