"""Endpoints to flag and dispose of recordings, and to note a spool's recovery.

Only administrators may use these endpoints, but supervisors may set flags too. What they do is
entered in the audit chain. Before a disposal, this module checks whether the recording may be
disposed of. The finaliser then signs the certificate and destroys the recording's header.
"""

from __future__ import annotations

import time
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from galwad.archive.disposals import Decision
from galwad.archive.files import checked_id
from galwad.archive.routes import recording_of
from galwad.archive.rules import DisposalReason
from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.host.bodies import RequestBody, RequiredText
from galwad.host.errors import ApiError, NotPermittedError
from galwad.people.access import SteppedUpAdministrator, SteppedUpSupervisor
from galwad.people.sessions import Session
from galwad.people.user import PURGE
from recording.archive.summary import RecordingSummary
from recording.audit.index_comparison import CARD_PREVENTION
from recording.audit.log import Facts
from recording.policy import FlagName

router = APIRouter()


class StatedReason(RequestBody):
    """A request with the reason for it, which is entered in the audit."""

    reason: RequiredText


class Recover(RequestBody):
    """A notice that an officer decrypts the key of a spool.

    With this key, the officer can decrypt the audio in the spool. `life` is the number of the spool
    within its call, and `reference` is the reason. Both are entered in the audit chain.
    """

    life: int = Field(ge=1, le=1_000_000)
    reference: RequiredText


class Purge(RequestBody):
    """A request to dispose of a recording.

    `reason` is the kind of reason, such as "erasure", and `reference` is the reference of the case.
    Both are entered in the audit chain before anything is destroyed.

    The reason "captured-card" needs a prevention record, and no other reason may have one:
    `missing_trigger` is the trigger that should have paused the recording, and `changed` is what
    was changed so that this trigger pauses recordings in future.
    """

    reason: DisposalReason
    reference: RequiredText
    missing_trigger: RequiredText | None = None
    changed: RequiredText | None = None

    @model_validator(mode="after")
    def _check_prevention(self) -> Self:
        given = self.missing_trigger is not None, self.changed is not None
        if set(given) != {self.reason == "captured-card"}:
            raise ValueError(
                'the reason "captured-card" needs both "missing_trigger" and "changed"; '
                "no other reason may have them"
            )
        return self


class Purged(BaseModel):
    """The response after a disposal: the signed certificate of disposal."""

    certificate: str


@router.put("/recordings/{call_id}/flags/{flag}", status_code=204)
async def flag(
    call_id: str,
    flag: FlagName,
    body: StatedReason,
    desk: TheDesk,
    session: SteppedUpSupervisor,
) -> None:
    """Flag a recording, for example because it is sensitive. Only administrators restrict one.

    Raises:
        ApiError: 403, only an administrator may restrict a recording. 404, no recording has this
            id.
    """
    if flag == "restricted" and session.user.role != "admin":
        raise NotPermittedError(
            "only the recording administrator may restrict a recording",
            "ask an administrator to do it",
        )
    await recording_of(desk, call_id)
    async with desk.archive.custodian.deciding:
        personal = {"actor": session.actor, "reason": body.reason}
        facts: Facts = {"call_id": call_id, "flag": flag}
        await desk.host.audit.append("recording.flagged", facts, personal)
        await desk.archive.custodian.flag(call_id, flag, body.reason, time.time())
        await desk.archive.retention.assign([call_id])


@router.delete("/recordings/{call_id}/flags/{flag}", status_code=204)
async def unflag(
    call_id: str,
    flag: FlagName,
    body: StatedReason,
    desk: TheDesk,
    session: SteppedUpAdministrator,
) -> None:
    """Remove a flag from a recording.

    Raises:
        ApiError: 404, no recording has this id. 409, the recording does not have this flag.
    """
    await recording_of(desk, call_id)
    async with desk.archive.custodian.deciding:
        if flag not in (await desk.archive.custodian.one(call_id)).flag_names:
            raise ApiError(409, "the recording does not have this flag", "check the call id")
        personal = {"actor": session.actor, "reason": body.reason}
        facts: Facts = {"call_id": call_id, "flag": flag}
        await desk.host.audit.append("recording.unflagged", facts, personal)
        await desk.archive.custodian.unflag(call_id, flag)
        await desk.archive.retention.assign([call_id])


@router.post("/recordings/{call_id}/recover", status_code=204)
async def recover(
    call_id: str, body: Recover, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Add an audit entry, which says that an officer decrypts the key of a spool.

    The desk does not send the key. The encrypted key is in the spool, and the officer decrypts it
    with their own identity.

    Raises:
        ApiError: 404, this cannot be the id of a recording.
    """
    facts: Facts = {"call_id": checked_id(call_id), "life": body.life}
    personal = {"actor": session.actor, "reference": body.reference}
    await desk.host.audit.append("spool.key-taken", facts, personal)


@router.post("/recordings/{call_id}/purge")
async def purge(
    call_id: str, body: Purge, desk: TheDesk, session: SteppedUpAdministrator
) -> Purged:
    """Dispose of a recording: the finaliser signs a certificate, then destroys the header.

    If the recording was disposed of before, the existing certificate is returned. If the reason is
    a captured card, the prevention record is entered in the audit chain first, and the incidents of
    the recording are closed after the disposal.

    Raises:
        ApiError: 403, the user does not have the right `purge`. 404, no recording has this id. 409,
            the recording is retained, its term is not over (if the reason is retention), no card
            number was keyed in it, or the finaliser refuses.
            503, the finaliser does not answer: it may have disposed of the recording.
    """
    require_purge(session)
    recording = await recording_of(desk, call_id)
    async with desk.archive.custodian.deciding:
        custody = await desk.archive.custodian.one(call_id)
        # A repeated request completes a disposal that has begun.
        if custody.holds and desk.archive.files.content(recording, "disposal") is None:
            cases = "; ".join(f"{hold.hold_id} ({hold.reference})" for hold in custody.holds)
            raise ApiError(
                409, "the recording is retained", f"release it first; its legal holds: {cases}"
            )
        if body.reason == "retention":
            await desk.archive.retention.refuse_before_term(call_id)
        if body.missing_trigger is None or body.changed is None:
            return await _dispose(desk, session, recording, body)
        if not await desk.archive.captured_cards.of([call_id]):
            raise ApiError(
                409, "no card number was keyed in this recording", "choose another reason"
            )
        personal = {
            "actor": session.actor,
            "missing_trigger": body.missing_trigger,
            "changed": body.changed,
        }
        await desk.host.audit.append(CARD_PREVENTION, {"call_id": call_id}, personal)
        purged = await _dispose(desk, session, recording, body)
        await desk.archive.captured_cards.close(
            call_id, body.missing_trigger, body.changed, time.time()
        )
        return purged


def require_purge(session: Session) -> None:
    """Raise an `ApiError` (403) unless the user has the right to dispose of recordings."""
    if PURGE not in session.user.rights:
        raise NotPermittedError(
            "disposing of recordings needs the right `purge`",
            "`galwad users rights NAME --right purge` on the server gives it",
        )


async def _dispose(
    desk: ArchiveDesk, session: Session, recording: RecordingSummary, body: Purge
) -> Purged:
    decision = Decision(body.reason, session.actor, body.reference)
    content = await desk.archive.disposals.dispose(recording, decision)
    return Purged(certificate=content.decode())
