"""Endpoints for notes that were not delivered or not saved, and for the purposes of notes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel

from galwad.calls.alarms.kinds import Ending
from galwad.host.errors import ApiError
from galwad.notes.bodies import DiscardReason
from galwad.notes.delivery import UndeliveredNote
from galwad.notes.store import ClosedNotes
from galwad.notes.subject import TheDesk
from galwad.people.access import Administrator, Person, SteppedUpAdministrator, Supervisor
from galwad.texts.text_lists import TwoTexts, purposes_of

router = APIRouter(tags=["contacts"])
_MOST = 1000
_CLOSED_DAYS = 7


class Purposes(BaseModel):
    """The purposes that advisors can choose. If `free_text` is true, they may write others too."""

    purposes: list[TwoTexts]
    free_text: bool


@router.get("/contacts/purposes")
async def purposes(desk: TheDesk, _: Person) -> Purposes:
    """Return the purposes that the advisors can choose for a contact note."""
    return Purposes(purposes=purposes_of(desk.texts.lists), free_text=desk.texts.lists.free_text)


@router.get("/contacts/undelivered")
async def undelivered(desk: TheDesk, _: Administrator) -> list[UndeliveredNote]:
    """Return the versions of contact notes that are not delivered, without their texts.

    Refused versions come before waiting versions, and then older ones before newer ones. At most
    1,000 are returned.
    """
    return await desk.notes.delivery.outbox.undelivered(_MOST)


@router.get("/contacts/closed")
async def closed(desk: TheDesk, _: Supervisor) -> list[ClosedNotes]:
    """Return, for each advisor, how many notes the desk closed because they were not saved.

    Only notes about calls of the last seven days count.
    """
    first = datetime.now(UTC) - timedelta(days=_CLOSED_DAYS)
    return await desk.notes.contacts.closed_notes(f"{first:%Y%m%d-%H%M%S}")


@router.post("/contacts/{call_id}/retry", status_code=204)
async def retry(call_id: str, desk: TheDesk, session: Administrator) -> None:
    """Deliver the undelivered versions of a call's contact note as soon as possible.

    Raises:
        ApiError: 404, the call has no undelivered contact note.
    """
    _check(await desk.notes.delivery.outbox.retry(call_id))
    await desk.host.audit.append("contact.retried", {"call_id": call_id}, {"actor": session.actor})
    desk.calls.alarms.ended(Ending.DECISION, call_id)
    desk.notes.delivery.wake()


@router.post("/contacts/{call_id}/discard", status_code=204)
async def discard(
    call_id: str, body: DiscardReason, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Never deliver the undelivered versions of a call's contact note. The note itself is kept.

    The decision is entered in the audit chain, with its reason, before it takes effect.

    Raises:
        ApiError: 404, the call has no undelivered contact note.
    """
    _check(len(await desk.notes.delivery.outbox.undelivered(1, call_id)))
    personal = {"actor": session.actor, "reason": body.reason}
    await desk.host.audit.append("contact.discarded", {"call_id": call_id}, personal)
    _check(await desk.notes.delivery.outbox.discard(call_id))
    desk.calls.alarms.ended(Ending.DECISION, call_id)


def _check(changed: int) -> None:
    if not changed:
        raise ApiError(
            404, "this call has no undelivered contact note", "it may be delivered: list the notes"
        )
