"""Endpoints for call events that the receiver of webhooks does not have yet."""

from __future__ import annotations

from fastapi import APIRouter

from galwad.events.bodies import UndeliveredEventView
from galwad.events.subject import Desk, TheDesk
from galwad.host.errors import ApiError
from galwad.notes.bodies import DiscardReason
from galwad.people.access import Administrator

router = APIRouter(tags=["webhooks"])
_MOST = 1000


@router.get("/webhooks/undelivered")
async def undelivered_events(desk: TheDesk, _: Administrator) -> list[UndeliveredEventView]:
    """Return the call events whose attempts have failed, without their contents.

    Those that wait come first, then the refused ones. At most 1,000 are returned.
    """
    return [
        UndeliveredEventView(
            id=each.event_id,
            call_id=each.call_id,
            kind=each.kind,
            state=each.state,
            created=each.created,
            attempts=each.attempts,
            due=each.due,
            reason=each.reason,
        )
        for each in await desk.events.webhooks.outbox.undelivered(_MOST)
    ]


@router.post("/webhooks/{event_id}/retry", status_code=204)
async def retry_event(event_id: str, desk: TheDesk, session: Administrator) -> None:
    """Send a call event that waits as soon as possible.

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
    """Never send a call event that waits. The next event of its call is sent instead.

    The decision is entered in the audit chain, with its reason, before it takes effect.

    Raises:
        ApiError: 404, no event with this id waits.
    """
    facts = await _facts(desk, event_id)
    personal = {"actor": session.actor, "reason": body.reason}
    await desk.host.audit.append("webhook.discarded", facts, personal)
    await desk.events.webhooks.discard(event_id)


async def _facts(desk: Desk, event_id: str) -> dict[str, str]:
    """Return the facts about a waiting event for the audit."""
    call_id = await desk.events.webhooks.outbox.waiting_call(event_id)
    if call_id is None:
        raise ApiError(
            404, "no event with this id waits", "it may be delivered: list the events again"
        )
    return {"call_id": call_id, "event_id": event_id}
