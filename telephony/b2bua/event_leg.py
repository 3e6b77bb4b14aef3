"""Find the leg of a call that an endpoint event belongs to.

The endpoint stores an `owner` in each INVITE and dialog. The calls in this package set the leg as
the owner.
"""

from __future__ import annotations

from telephony.b2bua.leg import Leg
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PrackMissing,
    SipEvent,
)


def leg_of(event: SipEvent) -> Leg | None:
    """Return the leg that an endpoint event belongs to; None if it belongs to no leg."""
    owner: object = None
    if isinstance(event, InviteCancelled | PrackMissing):
        dialog = event.invite.dialog
        owner = event.invite.owner or (dialog.owner if dialog is not None else None)
    elif isinstance(event, InviteProgress | InviteAnswered | InviteFailed):
        owner = event.client.owner
    elif isinstance(
        event,
        AckReceived
        | AckMissing
        | DialogRequest
        | DialogResponse
        | DialogRequestFailed
        | DialogEnded,
    ):
        owner = event.dialog.owner
    return owner if isinstance(owner, Leg) else None
