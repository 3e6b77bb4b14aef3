"""Which call an endpoint event belongs to: its handles know (`owner` is the leg)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telephony.b2bua.leg import Leg
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    Event,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PrackMissing,
)

if TYPE_CHECKING:
    from telephony.b2bua.call import BackToBackCall


def leg_of(event: Event) -> Leg | None:
    """The leg that an event concerns; None if it concerns no call."""
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


def find_call(event: Event) -> BackToBackCall | None:
    """The call that an event is for; None for events outside calls (IncomingInvite among them)."""
    leg = leg_of(event)
    return leg.call if leg is not None else None
