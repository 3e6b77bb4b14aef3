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

_OF_A_SERVER = (InviteCancelled, PrackMissing)
_OF_A_CLIENT = (InviteProgress, InviteAnswered, InviteFailed)
_OF_A_DIALOG = (
    AckReceived,
    AckMissing,
    DialogRequest,
    DialogResponse,
    DialogRequestFailed,
    DialogEnded,
)


def leg_of(event: SipEvent) -> Leg | None:
    """Return the leg of an endpoint event; None if there is none."""
    owner: object = None
    if isinstance(event, _OF_A_SERVER):
        dialog = event.invite.dialog
        owner = event.invite.owner or (dialog.owner if dialog is not None else None)
    elif isinstance(event, _OF_A_CLIENT):
        owner = event.client.owner
    elif isinstance(event, _OF_A_DIALOG):
        owner = event.dialog.owner
    return owner if isinstance(owner, Leg) else None
