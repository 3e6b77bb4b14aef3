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
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.replaces import Replaces


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """The three legs at which two calls are joined."""

    kept_leg: Leg
    """The party's leg in the call that goes on; it is on the callee's side there."""
    ending_leg: Leg
    """The party's leg in the call that ends."""
    moved_leg: Leg
    """The leg at the other end of the call that ends; it is joined with the kept call's caller."""


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


def leg_named_by_replaces(endpoint: Endpoint, leg: Leg, replaces: str) -> Leg | None:
    """Return the leg in another call that a REFER from the peer of `leg` names in its Replaces.

    None unless the peers of both legs are at the same host: a party cannot give away another
    party's call.
    """
    named = replaced_leg(endpoint, replaces)
    if named is None or named.call is leg.call:
        return None
    return named if _host_of(named) == _host_of(leg) else None


def plan_join(leg: Leg, named: Leg) -> JoinPlan | None:
    """Return how the calls of two legs of one party can be joined; None if they cannot.

    If the party is the callee in both calls, the call in which it sent the REFER goes on.
    """
    for kept_leg, ending_leg in ((leg, named), (named, leg)):
        core = kept_leg.call.core
        moved_leg = ending_leg.call.core.other(ending_leg)
        if kept_leg is core.callee and moved_leg is not None:
            caller = core.other(kept_leg)
            ready = caller is not None and caller.talking and kept_leg.talking and moved_leg.talking
            ready = ready and not kept_leg.call.transferring
            return JoinPlan(kept_leg, ending_leg, moved_leg) if ready else None
    return None


def _host_of(leg: Leg) -> str | None:
    if leg.dialog is not None:
        return leg.dialog.peer.host
    return leg.server_invite.source.host if leg.server_invite is not None else None
