"""Attended transfer (RFC 5589 section 7, RFC 3891): two calls with one common party become one.

The common party, the transferor, sends a REFER in one call with a Replaces that identifies its
dialog in the other. Both dialogs are with us, so we join the calls ourselves and forward nothing.
The call in which the transferor is the callee continues. The other ends, and its other party moves
to the call that continues. The transferor leaves both.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.b2bua.leg import Leg
from telephony.errors import SipParseError
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.header_values import Replaces


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """A plan for joining two calls, which the transferor, the party in both, then leaves."""

    kept_leg: Leg
    """The transferor's leg, as callee, in the call that continues; `moved_leg` replaces it."""
    ending_leg: Leg
    """The transferor's leg in the call that ends."""
    moved_leg: Leg
    """The leg that moves to the call that continues, and is joined with the caller's leg."""


def replaced_dialog(endpoint: Endpoint, text: str) -> Dialog | None:
    """Return our dialog that a Replaces value identifies; None if there is none."""
    try:
        replaces = Replaces.parse(text)
    except SipParseError:
        return None
    return endpoint.find_dialog(replaces.call_id, replaces.to_tag, replaces.from_tag)


def replaced_leg(endpoint: Endpoint, text: str) -> Leg | None:
    """Return the live leg whose dialog a Replaces value identifies; None if there is none."""
    dialog = replaced_dialog(endpoint, text)
    owner = dialog.owner if dialog is not None else None
    return owner if isinstance(owner, Leg) and owner.alive else None


def leg_named_by_replaces(endpoint: Endpoint, leg: Leg, replaces: str) -> Leg | None:
    """Return the leg in another call that the Replaces of a REFER on `leg` identifies, or None.

    None also if the peers of the two legs are at different hosts: a party may only join calls in
    which it takes part.
    """
    named = replaced_leg(endpoint, replaces)
    if named is None or named.call is leg.call:
        return None
    return named if _host_of(named) == _host_of(leg) else None


def plan_join(leg: Leg, named: Leg) -> JoinPlan | None:
    """Return a plan for joining two calls of one party; None if they cannot be joined now.

    The REFER arrived on `leg`; `named` is the party's other leg. If the party is the callee in both
    calls, the call of `leg` continues.
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
