"""Attended transfer (RFC 5589 section 7, RFC 3891): two calls of one party become one.

The party that consulted somebody names, in a Replaces, its dialog with us in the one call while
it speaks in the other. Both dialogs end here, so nothing is forwarded: the call whose caller the
party was serving takes over whoever is at the far end of the other, and the party leaves both.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.b2bua.core import CallCore
from telephony.b2bua.leg import Leg
from telephony.errors import SipParseError
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.replaces import Replaces


@dataclass(frozen=True, slots=True)
class Joint:
    """Where two calls meet."""

    keeper: Leg
    """The party's leg in the call that goes on: an advisor's side."""
    giver: Leg
    """The party's leg in the call that is absorbed."""
    moved: Leg
    """Who was at the other end of it, and talks with the caller from now on."""


def replaced_dialog(endpoint: Endpoint, text: str) -> Dialog | None:
    """The dialog of ours that a Replaces names; None if it names none."""
    try:
        replaces = Replaces.parse(text)
    except SipParseError:
        return None
    return endpoint.find_dialog(replaces.call_id, replaces.to_tag, replaces.from_tag)


def replaced_leg(endpoint: Endpoint, text: str) -> Leg | None:
    """The live leg of a call whose dialog a Replaces names; None if there is none."""
    dialog = replaced_dialog(endpoint, text)
    owner = dialog.owner if dialog is not None else None
    return owner if isinstance(owner, Leg) and owner.alive else None


def consulted_leg(endpoint: Endpoint, leg: Leg, replaces: str) -> Leg | None:
    """The leg by which the party of `leg` is in another call, as its Replaces says.

    None unless both lead to one and the same host: nobody gives away another's call.
    """
    named = replaced_leg(endpoint, replaces)
    if named is None or named.call is leg.call:
        return None
    return named if _host_of(named) == _host_of(leg) else None


def joint_of(leg: Leg, named: Leg) -> Joint | None:
    """How the calls of two legs of one party can be joined; None if they cannot.

    Where the party is on the advisor's side of both, the call goes on in which it asked.
    """
    for keeper, giver in ((leg, named), (named, leg)):
        core = keeper.call.core
        moved = giver.call.core.other(giver)
        if keeper is core.partner and moved is not None:
            ready = keeper.talking and moved.talking and core.caller.talking
            ready = ready and not keeper.call.transferring
            return Joint(keeper, giver, moved) if ready else None
    return None


def hand_over(joint: Joint) -> None:
    """Take the moved leg out of its call, which is left with the party alone."""
    core: CallCore = joint.giver.call.core
    core.partner = None
    del core.legs[joint.moved.id]
    core.on_leg_ended(joint.moved)


def _host_of(leg: Leg) -> str | None:
    if leg.dialog is not None:
        return leg.dialog.peer.host
    return leg.invite.source.host if leg.invite is not None else None
