"""Find the leg of an endpoint event: the `owner` of its INVITE or dialog."""

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
    """Return the leg of an endpoint event; None if there is none."""
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
