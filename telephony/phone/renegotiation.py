"""A re-INVITE within a call, for hold, resume or refresh, also after glare (RFC 3261 14.1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from telephony.phone.state import CallFailedError, InvalidStateError
from telephony.sdp import Direction
from telephony.sip.dialog.dialog import Dialog

if TYPE_CHECKING:
    from telephony.phone.call import VoIPCall

SDP: Final = ("Content-Type", "application/sdp")
_TRIES: Final = 5


async def change_hold(call: VoIPCall, dialog: Dialog, wanted: Direction | None) -> None:
    """Put the other party on hold as `wanted`, or off hold if None; a refusal changes nothing."""
    before = call.media.hold
    if before is wanted:
        return
    call.media.hold = wanted
    try:
        await renegotiate(call, dialog)
    except (CallFailedError, InvalidStateError):
        call.media.hold = before
        call.media.withdraw()
        raise


async def renegotiate(call: VoIPCall, dialog: Dialog) -> None:
    """Send an offer of the current state; this also refreshes the session.

    Raises:
        InvalidStateError: The dialog has ended.
        CallFailedError: The re-INVITE was refused, unanswered, or met glare too often.
    """
    for _ in range(_TRIES):
        await call.changes.until(lambda: not dialog.invite_pending)
        offer = call.media.offer()
        _, response = await call.errands.send(dialog, "INVITE", (SDP, *call.session.asked()), offer)
        if response.status < 300:
            call.session.told(response)
            call.media.answered(response.body)
            return
        if response.status == 422:
            call.session.too_small(response)
            continue
        if response.status != 491:
            break
        call.media.withdraw()  # otherwise we would refuse the peer's own offer with 491
        await asyncio.sleep(dialog.glare_delay())
    raise CallFailedError("the re-INVITE was refused", response.status)
