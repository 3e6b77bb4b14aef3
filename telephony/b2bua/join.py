"""Attended transfer (RFC 5589 section 7, RFC 3891): two calls of one party become one.

The party consulted another one in a second call. It sends a REFER in one call, and the Replaces in
it names the party's dialog with us in the other call. Both dialogs end here, so nothing is
forwarded. The call in which the party is the callee takes over the leg at the far end of the other
call, and the party leaves both.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.b2bua.leg import Leg
from telephony.errors import SipParseError
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.replaces import Replaces


@dataclass(frozen=True, slots=True)
class Joint:
    """The three legs at which two calls are joined."""

    keeper: Leg
    """The party's leg in the call that goes on; it is on the callee's side there."""
    giver: Leg
    """The party's leg in the call that ends."""
    moved: Leg
    """The leg at the other end of the giver's call; it is joined with the keeper's caller."""


def replaced_dialog(endpoint: Endpoint, text: str) -> Dialog | None:
    """Return our dialog that a Replaces names; None if it names none or cannot be read."""
    try:
        replaces = Replaces.parse(text)
    except SipParseError:
        return None
    return endpoint.find_dialog(replaces.call_id, replaces.to_tag, replaces.from_tag)


def replaced_leg(endpoint: Endpoint, text: str) -> Leg | None:
    """Return the live leg whose dialog a Replaces names, or None."""
    dialog = replaced_dialog(endpoint, text)
    owner = dialog.owner if dialog is not None else None
    return owner if isinstance(owner, Leg) and owner.alive else None


def consulted_leg(endpoint: Endpoint, leg: Leg, replaces: str) -> Leg | None:
    """Return the leg in another call that a REFER from the peer of `leg` names in its Replaces.

    None unless the peers of both legs are at the same host: a party cannot give away another
    party's call.
    """
    named = replaced_leg(endpoint, replaces)
    if named is None or named.call is leg.call:
        return None
    return named if _host_of(named) == _host_of(leg) else None


def joint_of(leg: Leg, named: Leg) -> Joint | None:
    """Return how the calls of two legs of one party can be joined; None if they cannot.

    If the party is the callee in both calls, the call in which it sent the REFER goes on.
    """
    for keeper, giver in ((leg, named), (named, leg)):
        core = keeper.call.core
        moved = giver.call.core.other(giver)
        if keeper is core.callee and moved is not None:
            caller = core.other(keeper)
            ready = caller is not None and caller.talking and keeper.talking and moved.talking
            ready = ready and not keeper.call.transferring
            return Joint(keeper, giver, moved) if ready else None
    return None


def _host_of(leg: Leg) -> str | None:
    if leg.dialog is not None:
        return leg.dialog.peer.host
    return leg.invite.source.host if leg.invite is not None else None
