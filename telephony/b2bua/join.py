"""Connect the caller with another party, by a REFER or an INVITE with Replaces (RFC 3891).

Attended transfer (RFC 5589 section 7): the transferor is a party of two calls. It sends a REFER in
one call with a Replaces that identifies its dialog in the other call. Both dialogs are with us, so
we join the calls ourselves and forward nothing. The call in which the transferor is the callee
continues. The other call ends, and its other party moves to the call that continues. The transferor
leaves both.

INVITE with Replaces: a PBX sends it to connect the caller with a party that the callee has
consulted. A phone sends it to take over an answered call. We answer the new party with the
caller's media, then send a BYE to the replaced party.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.b2bua.bodies import description, require_sdp_accepted, wants_ipv6
from telephony.b2bua.core import SDP_TYPE, CallCore, EndCause, answer
from telephony.b2bua.events import Joined, Side
from telephony.b2bua.leg import Leg
from telephony.b2bua.offers import Alignment
from telephony.b2bua.session_timer import (
    IntervalTooSmallError,
    SessionTimer,
    agree_to_request,
    answer_fields,
)
from telephony.b2bua.settings import Target
from telephony.errors import NoPortsError, ParseError, SipParseError
from telephony.sdp import SessionDescription, cut_offer
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.header_values import Replaces
from telephony.sip.ua.uas import InviteServer


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """A plan for joining two calls of one party, the transferor, which then leaves both."""

    kept_leg: Leg
    """The transferor's callee leg in the call that continues. `moved_leg` replaces it."""
    ending_leg: Leg
    """The transferor's leg in the call that ends."""
    moved_leg: Leg
    """The leg that moves to the call that continues, and is joined with the caller's leg."""


def replaced_dialog(endpoint: Endpoint, text: str) -> Dialog | None:
    """Return the dialog that a Replaces value identifies; None if we have no such dialog."""
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

    Return None also if the peers of the two legs are at different hosts: a party may only join
    calls in which it takes part.
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


_REASON = (("Reason", 'SIP;cause=200;text="Replaced"'),)


def leg_to_replace(endpoint: Endpoint, invite: InviteServer) -> Leg | int | None:
    """Return the leg to replace, or the status that refuses the INVITE; None without a Replaces.

    Only a callee leg that is joined with the caller can be replaced (RFC 3891 section 3).
    """
    values = invite.request.headers.get_all("Replaces")
    if not values:
        return None
    try:
        (wanted,) = [Replaces.parse(value) for value in values]
    except (ParseError, ValueError):
        return 400
    dialog = replaced_dialog(endpoint, values[0])
    if dialog is None or dialog.state is DialogState.EARLY:
        return 481
    if wanted.early_only:
        return 486
    leg = dialog.owner
    if not isinstance(leg, Leg) or not leg.talking or leg is not leg.call.core.callee:
        return 603
    return leg


class CalleeReplacement:
    """Replaces the callee of a call by a new party that has sent an INVITE with Replaces."""

    def __init__(self, core: CallCore, alignment: Alignment) -> None:
        self._core = core
        self._alignment = alignment

    def accept(self, old: Leg, invite: InviteServer, target: Target, now: float) -> None:
        """Answer the new party with the caller's media, join it with the caller, and hang up `old`.

        If this fails, for example without a free port, the new party gets a failure status and
        `old` stays.
        """
        core = self._core
        try:
            offer, timer = self._read(invite, target, now)
            ipv6 = wants_ipv6(invite.request, invite.source)
            leg = core.new_leg(Side.CALLEE, target, ipv6=ipv6)
        except ParseError as error:
            answer(invite, error.status, now)
        except IntervalTooSmallError:
            answer(invite, 422, now, headers=(("Min-SE", str(core.settings.session.least)),))
        except NoPortsError:
            answer(invite, 503, now, headers=(("Retry-After", "10"),))
        else:
            leg.server_invite, invite.owner = invite, leg
            core.learn_from_invite(leg, invite.request)
            self._join(old, leg, offer, timer, now)

    def _join(
        self, old: Leg, leg: Leg, offer: SessionDescription, timer: SessionTimer, now: float
    ) -> None:
        core, invite = self._core, leg.server_invite
        if invite is None:
            return
        try:
            ours = leg.media.answer(
                offer, core.caller.media.remote_description, core.settings.codecs
            )
            leg.media.agree(ours, offer)
        except ParseError as error:
            answer(invite, error.status, now)
            core.end_leg(leg, EndCause.NO_MEDIA, now)
            return
        headers = (*answer_fields(timer), *SDP_TYPE)
        dialog = answer(invite, 200, now, headers=headers, body=bytes(ours))
        # If the new party has cancelled its INVITE before our 200, the new leg ends.
        if dialog is None:
            core.end_leg(leg, EndCause.CANCELLED, now)
            return
        core.set_confirmed(leg, dialog)
        leg.timer = timer
        self._replace(old, leg, now)

    def _read(
        self, invite: InviteServer, target: Target, now: float
    ) -> tuple[SessionDescription, SessionTimer]:
        """Return the offer and the session timer from the INVITE of the new party.

        Raises:
            ParseError: The INVITE has no offer, its body cannot be read, the offer has no stream
                that we can carry, or the new party does not accept SDP.
            IntervalTooSmallError: The INVITE asks for a shorter session interval than our Min-SE.
        """
        request, settings = invite.request, self._core.settings
        require_sdp_accepted(request)
        offer = description(request)
        if offer is None:
            raise ParseError("an INVITE with Replaces must have an offer", status=488)
        cut_offer(offer, settings.codecs, target.srtp)
        return offer, agree_to_request(request, settings.session, now)

    def _replace(self, old: Leg, leg: Leg, now: float) -> None:
        core = self._core
        core.join(leg)
        if leg.target is not None:
            core.emit(Joined(leg.id, leg.target))
        core.emit_media(core.caller)
        core.emit_media(leg)
        core.end_leg(old, EndCause.REPLACED, now, _REASON)
        self._alignment.align_both(core.caller, leg, now)
