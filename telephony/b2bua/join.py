"""Attended transfer (RFC 5589 section 7, RFC 3891): two calls with one common party become one.

The common party is the transferor. It has a call with each of two other parties. In one of the two
calls, it sends a REFER with a Replaces, which identifies its dialog in the other call. Both dialogs
are with us, so we join the calls ourselves and forward nothing.

One call continues: a call in which the transferor is the callee. The other call ends, and the party
that talked with the transferor there moves to the call that continues. The transferor leaves both
calls.
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
    """A plan for joining two calls: the transferor's leg in each call, and the leg that moves.

    The transferor is the party that is in both calls. It leaves both calls when they are joined.
    """

    kept_leg: Leg
    """The transferor's leg in the call that continues. In this call, the transferor is the callee.

    When the calls are joined, `moved_leg` replaces `kept_leg`.
    """
    ending_leg: Leg
    """The transferor's leg in the call that ends."""
    moved_leg: Leg
    """The leg that moves from the call that ends to the call that continues.

    In the call that continues, it is joined with the caller's leg.
    """


def replaced_dialog(endpoint: Endpoint, text: str) -> Dialog | None:
    """Return our dialog that the Replaces value `text` identifies.

    None means that we have no such dialog, or that `text` cannot be read.
    """
    try:
        replaces = Replaces.parse(text)
    except SipParseError:
        return None
    return endpoint.find_dialog(replaces.call_id, replaces.to_tag, replaces.from_tag)


def replaced_leg(endpoint: Endpoint, text: str) -> Leg | None:
    """Return the leg whose dialog the Replaces value `text` identifies.

    None means that there is no such leg, or that the leg has ended.
    """
    dialog = replaced_dialog(endpoint, text)
    owner = dialog.owner if dialog is not None else None
    return owner if isinstance(owner, Leg) and owner.alive else None


def leg_named_by_replaces(endpoint: Endpoint, leg: Leg, replaces: str) -> Leg | None:
    """Return the leg in another call that the Replaces in a REFER identifies.

    `leg` is the leg on which the REFER arrived. Return None if the Replaces identifies no leg, or a
    leg in the same call. Also return None if the peers of the two legs are at different hosts,
    because a party may only join calls in which it takes part.
    """
    named = replaced_leg(endpoint, replaces)
    if named is None or named.call is leg.call:
        return None
    return named if _host_of(named) == _host_of(leg) else None


def plan_join(leg: Leg, named: Leg) -> JoinPlan | None:
    """Return a plan for joining two calls of one party; None if they cannot be joined now.

    `leg` is the party's leg on which the REFER arrived. `named` is the same party's leg in the
    other call. If the party is the callee in both calls, the call of `leg` continues.
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
