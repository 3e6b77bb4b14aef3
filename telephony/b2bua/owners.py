"""Finding the leg or the call of an endpoint event, by the `owner` of the event's handles."""

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
    """Return the leg that an event concerns; None if it concerns no leg."""
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
    """Return the call that an event is for.

    None means that the event is outside any call, as an `IncomingInvite` is.
    """
    leg = leg_of(event)
    return leg.call if leg is not None else None
