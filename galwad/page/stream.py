"""The endpoint for event streams, which sends changes to a page, and call events to a machine.

The stream of a machine is in `galwad.events.routes`.

A new page's stream begins with a snapshot of what the user may see: live calls, open alarms,
presence and settings. After a lost connection, a page's stream begins with the events that the page
has missed, or with a snapshot if they are gone. After that the stream sends each change that the
user may see.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from starlette.types import Send

from galwad.calls.bodies import PageSnapshot, StreamReplaced
from galwad.events.routes import begin_stream
from galwad.host.streams import MAX_STREAMS_PER_SESSION, Follower
from galwad.page.events import encoded
from galwad.page.subject import PageDesk, TheDesk
from galwad.people.access import SignedIn
from galwad.people.sessions import Session
from galwad.people.sign_in.routes import me_of
from galwad.texts.text_lists import page_texts

router = APIRouter()

BEAT_S = 2.5
"""The longest time in seconds for which a stream sends nothing.

A stream without events sends a comment. If nothing arrives for 5 s, a page assumes that the
connection is lost.
"""
CHECK_S = 10.0
"""The seconds between two checks of whether the user of a stream talks on a call."""
_MEDIA_TYPE = "text/event-stream"
_EXAMPLE = (
    "event: call.answered\n"
    "id: 575a9a2c-44e5-57b4-83f7-273ec0888e21\n"
    'data: {"id":"575a9a2c-44e5-57b4-83f7-273ec0888e21","type":"call.answered",'
    '"timestamp":"2026-11-25T10:15:07.000Z","data":{"call_id":"20261125-101500-abcdefgh",'
    '"started":"2026-11-25T10:15:00.000Z","line":"Council Tax","direction":"in",'
    '"caller":"+441632960001","called":"+441970000000","advisor":"sian","extension":"201"}}\n\n'
)
"""An event for a machine, for the description of the API."""
_COMMENT = b": ping\n\n"
_EVENT_ID = re.compile(r"[0-9]{1,18}")


class _EventStream(StreamingResponse):
    """A response that closes its source of events as soon as the response ends."""

    media_type = _MEDIA_TYPE

    def __init__(self, source: AsyncGenerator[bytes]) -> None:
        # A proxy must pass on each event at once (nginx knows this header field).
        super().__init__(source, headers={"X-Accel-Buffering": "no"})
        self._source = source

    async def stream_response(self, send: Send) -> None:
        """Send the response, then close the source."""
        async with aclosing(self._source):
            await super().stream_response(send)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {_MEDIA_TYPE: {"example": _EXAMPLE}}}},
)
async def events(
    desk: TheDesk,
    session: SignedIn,
    last_event_id: Annotated[str, Header()] = "",
) -> StreamingResponse:
    """Send call events to a machine, or send a page each change that its user may see.

    A machine needs the right `events`. The machine receives the events of webhooks: the same names,
    ids and JSON documents. Its stream begins with the event `ready`, which has an `id` too. A
    page's stream begins with a snapshot.

    After a lost connection, the client sends the header field `Last-Event-ID` with the id of the
    newest event that it has received. The stream then continues with the next event. If that event
    is not stored any more, a machine receives the status 410, and a page receives a snapshot. A
    machine that has fallen so far behind during its stream receives the event `missed`, and the
    stream ends.

    If a session or a machine opens too many streams, its oldest ends with the event `replaced`.

    Raises:
        ApiError: 403, the machine does not have the right `events`. 404, the settings have no
            `[event_stream]`. 410, an event after `Last-Event-ID` is not stored any more. 422,
            `Last-Event-ID` is not the id of an event. 503, the database does not answer.
    """
    if session.user.role == "machine":
        return _EventStream(await begin_stream(desk, session, last_event_id))
    position = int(last_event_id) if _EVENT_ID.fullmatch(last_event_id) else -1
    return _EventStream(_events(desk, session, position))


async def _events(desk: PageDesk, session: Session, position: int) -> AsyncGenerator[bytes]:
    follower = desk.host.streams.follow(session.key, session.user.name)
    try:
        page = desk.calls.presence.page(session.user)
        with desk.host.metrics.streams.track_inprogress(), page:
            async for chunk in _news(desk, session, position, follower):
                yield chunk
    finally:
        desk.host.streams.unfollow(session.key, follower)


async def _news(
    desk: PageDesk, session: Session, position: int, follower: Follower
) -> AsyncIterator[bytes]:
    looked = time.monotonic() - CHECK_S
    spoken = looked
    # A page that continues an earlier stream may have missed changes of the user's drafts.
    user = session.user
    follower.stale.update(call.call_id for call in desk.calls.live.all() if call.draft_of(user))
    while not follower.replaced:
        turn = desk.host.streams.wake_count
        busy = False
        # While the user talks on a call, the user's session counts as used. The search for such
        # a call reads all live calls, so it is made at most once in `CHECK_S` seconds.
        checking = time.monotonic() - looked >= CHECK_S
        if checking:
            looked = time.monotonic()
            busy = any(call.is_talking(session.user) for call in desk.calls.live.all())
        if desk.host.streams.closed or not await desk.people.sessions.alive(session, busy=busy):
            return
        news = desk.page.hub.since(position)
        stale = sorted(follower.stale)
        follower.stale.clear()
        if news is None:
            position, spoken = desk.page.hub.last, time.monotonic()
            yield _snapshot(desk, session, position)
            continue
        position = desk.page.hub.last
        sent = b"".join(filter(None, (event.encoded_for(session.user) for event in news)))
        sent += _present(desk, session, position, stale)
        if sent or time.monotonic() - spoken >= BEAT_S:
            spoken = time.monotonic()
            yield sent or _COMMENT
        silent = time.monotonic() - spoken
        await desk.host.streams.wait(follower, turn, max(BEAT_S - silent, 0.0))
    yield encoded("replaced", desk.page.hub.last, StreamReplaced(most=MAX_STREAMS_PER_SESSION))


def _present(desk: PageDesk, session: Session, position: int, call_ids: list[str]) -> bytes:
    """Return events with the present states of these calls, as far as the user may see them."""
    calls = [call for call_id in call_ids if (call := desk.calls.live.get(call_id)) is not None]
    return b"".join(
        encoded("call", position, call.view(session.user))
        for call in calls
        if call.visible(session.user)
    )


def _snapshot(desk: PageDesk, session: Session, position: int) -> bytes:
    user = session.user
    texts = page_texts(desk.texts.lists)
    snapshot = PageSnapshot(
        calls=[call.view(user) for call in desk.calls.live.all() if call.visible(user)],
        alarms=[
            alarm.shown_to(supervises=user.supervises)
            for alarm in desk.calls.alarms_of(user)
            if not alarm.closed
        ],
        me=me_of(desk, session),
        now=time.time(),
        switch=desk.host.switch.connected,
        pause_reminder=desk.host.settings.desk.pause_reminder,
        pause_alarm=desk.host.settings.desk.pause_alarm,
        waiting_warning=desk.host.settings.desk.waiting_warning,
        searchable=desk.directories.lookup.searchable,
        embed_origins=list(desk.host.settings.desk.embed_origins),
        presence=desk.calls.presence.seen_by(user),
        break_reminder=desk.host.settings.presence.break_reminder,
        utc_offset=_utc_offset(desk.host.settings.desk.time_zone),
        notification_names=desk.host.settings.desk.notification_names,
        texts=texts,
        break_reasons=texts.break_reasons,
        dials=bool(user.extension) and desk.host.switch.dials,
        welsh=bool(desk.host.settings.desk.welsh_destination),
    )
    return encoded("snapshot", position, snapshot)


def _utc_offset(time_zone: tzinfo | None) -> int:
    """Return the seconds by which a time zone (None: the machine's) is ahead of UTC now."""
    offset = datetime.now(UTC).astimezone(time_zone).utcoffset() or timedelta()
    return round(offset.total_seconds())
