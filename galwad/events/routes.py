"""Endpoints for call events that were not delivered as webhooks, and the stream for machines.

The endpoint `/events` is in `galwad.page.stream`. It calls `begin_stream` for a machine. An event
has the same id and JSON document as in a webhook of the format `generic`. The stream reads the
events from the database when it sends them, so a slow client costs no memory. If the client does
not read for some time, its connection is closed (`galwad.host.connections.protocol`).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import structlog
from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError

from galwad.calls.bodies import StreamReplaced
from galwad.events.outbox import UndeliveredEvent
from galwad.events.stream import BEFORE_ALL, OLDEST, StoredEvent, StreamStore
from galwad.events.subject import EventsDesk, TheDesk
from galwad.host.errors import ApiError, NotPermittedError
from galwad.host.streams import MAX_STREAMS_PER_SESSION, Follower
from galwad.notes.bodies import DiscardReason
from galwad.people.access import Administrator
from galwad.people.sessions import Session
from galwad.people.user import Right

router = APIRouter(tags=["webhooks"])
_MOST = 1000
CHECK_S = 10.0
"""The longest time in seconds until a silent stream checks its token and sends a comment."""
_BATCH: Final = 200
"""The most events that are read and sent at a time."""
_RETRY_MS: Final = 2000
"""The milliseconds after which a client should connect again."""
_COMMENT: Final = b": ping\n\n"
_EVENT_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
log = structlog.get_logger()


@router.get("/webhooks/undelivered")
async def undelivered_events(desk: TheDesk, _: Administrator) -> list[UndeliveredEvent]:
    """Return the call events whose attempts have failed, without their contents.

    Waiting events come first, then refused events. At most 1,000 are returned.
    """
    return await desk.events.webhooks.outbox.undelivered(_MOST)


@router.post("/webhooks/{event_id}/retry", status_code=204)
async def retry_event(event_id: str, desk: TheDesk, session: Administrator) -> None:
    """Send a waiting call event as soon as possible.

    Raises:
        ApiError: 404, no event with this id waits.
    """
    facts = await _facts(desk, event_id)
    await desk.events.webhooks.retry(event_id)
    await desk.host.audit.append("webhook.retried", facts, {"actor": session.actor})


@router.post("/webhooks/{event_id}/discard", status_code=204)
async def discard_event(
    event_id: str, body: DiscardReason, desk: TheDesk, session: Administrator
) -> None:
    """Never send a waiting call event, unless it is being sent now.

    The later events of its call need no longer wait for it.

    The decision is entered in the audit chain, with its reason, before it takes effect.

    Raises:
        ApiError: 404, no event with this id waits.
    """
    facts = await _facts(desk, event_id)
    personal = {"actor": session.actor, "reason": body.reason}
    await desk.host.audit.append("webhook.discarded", facts, personal)
    await desk.events.webhooks.discard(event_id)


async def _facts(desk: EventsDesk, event_id: str) -> dict[str, str]:
    """Return an event's facts for the audit. Raises `ApiError` (404) if the event does not wait."""
    call_id = await desk.events.webhooks.outbox.waiting_call(event_id)
    if call_id is None:
        raise ApiError(
            404, "no event with this id waits", "it may be delivered: list the events again"
        )
    return {"call_id": call_id, "event_id": event_id}


async def begin_stream(
    desk: EventsDesk, session: Session, last_event_id: str
) -> AsyncGenerator[bytes]:
    """Return a stream that continues after the event with this id; "" for new events only.

    In place of an id, `BEFORE_ALL` and `OLDEST` are possible.

    Raises:
        ApiError: 403, the machine does not have the right `events`. 404, the settings have no
            `[event_stream]`. 410, the event with this id, or one after it, is not stored any more.
            422, `Last-Event-ID` is not the id of an event. 503, the database does not answer.
    """
    if Right.EVENTS not in session.user.rights:
        raise NotPermittedError("this needs the right `events`", "use a token with that right")
    store = desk.events.stream.store
    if store is None:
        raise ApiError(
            404, "call events cannot be read here", "ask for [event_stream] in the settings"
        )
    if last_event_id not in {"", BEFORE_ALL, OLDEST} and not _EVENT_ID.fullmatch(last_event_id):
        raise ApiError(
            422,
            "the header field `Last-Event-ID` is not the id of an event",
            "look at: header.last-event-id (must be the last `id` of the stream, or `oldest`)",
        )
    try:
        start = last_event_id or await store.newest()
        position = await store.position(start)
    except SQLAlchemyError:
        raise ApiError(503, "the database does not answer", "try again in some seconds") from None
    if position is None:
        raise ApiError(
            410,
            "events after `Last-Event-ID` are not stored any more",
            f"some events are missing; send `{OLDEST}` to begin with the oldest that is stored",
            reason="missed",
        )
    return _stream(desk, session, store, start, position)


async def _stream(
    desk: EventsDesk, session: Session, store: StreamStore, start: str, position: int
) -> AsyncGenerator[bytes]:
    name = session.user.name
    # All tokens of a machine share the number of streams that the machine can have.
    owner = f"machine:{name}"
    follower = desk.host.streams.follow(owner, name)
    try:
        with (
            desk.host.metrics.streams.track_inprogress(),
            desk.events.stream.reader(follower.wake),
        ):
            yield f"retry: {_RETRY_MS}\nevent: ready\nid: {start}\ndata: {{}}\n\n".encode()
            async for chunk in _news(desk, session, store, position, follower):
                yield chunk
    finally:
        desk.host.streams.unfollow(owner, follower)


async def _news(
    desk: EventsDesk, session: Session, store: StreamStore, position: int, follower: Follower
) -> AsyncIterator[bytes]:
    seen, spoken = -1, time.monotonic()
    while not follower.replaced:
        turn, written = desk.host.streams.wake_count, desk.events.stream.written
        present = None if desk.host.streams.closed else await desk.people.sessions.current(session)
        if present is None or Right.EVENTS not in present.user.rights:
            return
        chunk = b""
        if written != seen:
            try:
                found = await store.after(position, _BATCH)
            except SQLAlchemyError:
                log.warning("call_stream.not_read")
                return  # the client connects again, and continues after its last event
            if found is None:
                yield b"event: missed\ndata: {}\n\n"
                return
            seen = written if len(found) < _BATCH else seen
            position = found[-1].seq if found else position
            chunk = b"".join(map(_encoded, found))
        if not chunk and time.monotonic() - spoken >= CHECK_S:
            chunk = _COMMENT
        if chunk:
            yield chunk
            spoken = time.monotonic()
        follower.stale.clear()
        if desk.events.stream.written == seen:
            await desk.host.streams.wait(follower, turn, patience(present, time.time()))
    # The event has no id, so that the client's `Last-Event-ID` does not change.
    replaced = StreamReplaced(most=MAX_STREAMS_PER_SESSION).model_dump_json()
    yield f"event: replaced\ndata: {replaced}\n\n".encode()


def patience(session: Session, now: float) -> float:
    """Return the seconds for which a stream may wait before it checks its token again.

    `now` is the Unix time in seconds.
    """
    left = CHECK_S if session.until is None else session.until - now
    return max(0.0, min(CHECK_S, left))


def _encoded(event: StoredEvent) -> bytes:
    return f"event: call.{event.kind}\nid: {event.event_id}\ndata: {event.document}\n\n".encode()
