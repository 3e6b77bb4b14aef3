"""A re-INVITE of ours within a call: hold, resume, refresh; through glare (RFC 3261 14.1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from telephony.phone.state import CallFailedError, InvalidStateError
from telephony.sdp import Direction
from telephony.sip.endpoint import Dialog

if TYPE_CHECKING:
    from telephony.phone.call import VoIPCall

SDP: Final = ("Content-Type", "application/sdp")
_TRIES: Final = 5


async def change_hold(call: VoIPCall, dialog: Dialog, wanted: Direction | None) -> None:
    """Hold the other party as `wanted`, or take it off hold; nothing changes if it is refused."""
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
    """Offer what holds now; the session is refreshed by that too.

    Raises:
        InvalidStateError: the dialog is over.
        CallFailedError: refused, unanswered, or glare without end.
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
        call.media.withdraw()  # else the peer's own offer would have to wait for ours
        await asyncio.sleep(dialog.glare_delay())
    raise CallFailedError("the re-INVITE was refused", response.status)
