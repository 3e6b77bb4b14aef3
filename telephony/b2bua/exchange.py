"""Offers that a peer sends within a dialog (re-INVITE or UPDATE), passed on to the other leg.

Hold and codec changes go to the other party, and its answer comes back. An unchanged refresh is
answered here. Only one exchange is in progress at a time: a second one gets 491 (RFC 3261 14.2). A
failure leaves the media of both legs as they were.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.b2bua.alignment import Alignment
from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore, Cause, answer
from telephony.b2bua.events import CallHeld, CallResumed
from telephony.b2bua.headers import survivors
from telephony.b2bua.leg import Leg
from telephony.b2bua.offers import Offers
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.session_timer import (
    IntervalTooSmallError,
    SessionTimer,
    agree_to_request,
    answer_fields,
)
from telephony.errors import ParseError
from telephony.sdp import (
    SessionDescription,
    same_media,
)
from telephony.sip.message import Request
from telephony.sip.uas import InviteServer, ServerRequest

_OURS_ALONE = {401: 500, 407: 500, 408: 504, 422: 500, 481: 500}
"""Failures between us and the other leg, and the statuses that the sender gets in their place.

408 and 481 would end the sender's own dialog (RFC 3261 12.2.1.2), although only the other leg has
gone.
"""


@dataclass(slots=True)
class Carried:
    """A request whose offer is passed on; if it has none, the other leg is asked for an offer."""

    source: Leg
    transaction: ServerRequest
    offer: SessionDescription | None
    target: Leg
    asked: SessionDescription | None
    """The offer to the target; None asks the target for its offer."""
    timer: SessionTimer
    deadline: float | None
    """The time at which we stop waiting for the target; None before the start and afterwards."""
    held: bool = False
    """True until the target has acknowledged our 2xx: its dialog takes no offer before that."""


@dataclass(frozen=True, slots=True)
class Owed:
    """An INVITE without SDP that we answered with an offer; the ACK will hold the answer."""

    source: Leg
    target: Leg | None
    ours: SessionDescription
    theirs: SessionDescription | None
    """The target's offer, from which `ours` was made; None if we made the offer ourselves."""


class Exchange:
    """The offer/answer exchange between the two parties; at most one is in progress."""

    def __init__(
        self, core: CallCore, offers: Offers, refresh: Refresh, alignment: Alignment
    ) -> None:
        """Create the object; no exchange is in progress."""
        self._core = core
        self._offers = offers
        self._refresh = refresh
        self._alignment = alignment
        self._allowed = core.settings.codecs
        self._carried: Carried | None = None
        self._owed: Owed | None = None

    def carries(self, transaction: ServerRequest) -> bool:
        """Return whether this request's offer and header fields are being passed on."""
        return self._carried is not None and self._carried.transaction is transaction

    # --- an incoming offer ------------------------------------------------------------------

    def incoming(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        """Handle an INVITE or UPDATE within a confirmed dialog."""
        try:
            offer = description(request)
            timer = agree_to_request(request, self._core.settings, now)
        except ParseError as error:
            answer(transaction, error.status, now)
            return
        except IntervalTooSmallError:
            least = (("Min-SE", str(self._core.settings.min_se)),)
            answer(transaction, 422, now, headers=least)
            return
        if offer is None and request.method == "UPDATE":
            self._accept(leg, transaction, None, timer, now)
        elif self._carried is not None or self._owed is not None or self._offers.offering(leg):
            answer(transaction, 491, now)
        elif offer is None:
            self._offerless(leg, transaction, timer, now)
        elif leg.media.ours is not None and same_media(offer, leg.media.theirs):
            self._accept(leg, transaction, leg.media.repeat(), timer, now)
        else:
            self._changed(leg, transaction, offer, timer, now)

    def _accept(
        self,
        leg: Leg,
        transaction: ServerRequest,
        ours: SessionDescription | None,
        timer: SessionTimer,
        now: float,
    ) -> None:
        body = bytes(ours) if ours is not None else b""
        fields = (*answer_fields(timer), *(SDP_TYPE if body else ()))
        answer(transaction, 200, now, headers=fields, body=body)
        self._refresh.start(leg, timer)

    def _changed(
        self,
        leg: Leg,
        transaction: ServerRequest,
        offer: SessionDescription,
        timer: SessionTimer,
        now: float,
    ) -> None:
        other = self._core.other(leg)
        if other is None or not other.talking:
            self._alone(leg, transaction, offer, timer, now)
            return
        try:
            if other.media.knows(offer, leg.media, self._allowed):
                self._alone(leg, transaction, offer, timer, now, said=other.media.theirs)
                return
            asked = other.media.pass_on(offer, leg.media, self._allowed)
        except ParseError as error:
            answer(transaction, error.status, now)
            return
        self._carry(Carried(leg, transaction, offer, other, asked, timer, None), now)

    def _alone(
        self,
        leg: Leg,
        transaction: ServerRequest,
        offer: SessionDescription,
        timer: SessionTimer,
        now: float,
        *,
        said: SessionDescription | None = None,
    ) -> None:
        """Answer an offer without asking the other leg.

        Either no other leg is talking, or its last description (`said`) still answers the offer.
        """
        try:
            ours = leg.media.answer(offer, said, self._allowed)
            leg.media.agree(ours, offer)
        except ParseError as error:
            answer(transaction, error.status, now)
            return
        self._settled(leg)
        self._accept(leg, transaction, ours, timer, now)

    def _offerless(
        self, leg: Leg, transaction: ServerRequest, timer: SessionTimer, now: float
    ) -> None:
        other = self._core.other(leg)
        if other is not None and other.talking:
            self._carry(Carried(leg, transaction, None, other, None, timer, None), now)
        elif (ours := leg.media.repeat()) is not None:
            self._owed = Owed(leg, None, ours, None)
            self._accept(leg, transaction, ours, timer, now)
        else:
            answer(transaction, 500, now)

    # --- to the other leg and back ----------------------------------------------------------

    def _carry(self, carried: Carried, now: float) -> None:
        carried.deadline = now + self._core.settings.request_timeout
        self._carried = carried
        dialog = carried.target.dialog
        carried.held = dialog is not None and dialog.ack_due
        if not carried.held:
            self._cross(carried, now)

    def _cross(self, carried: Carried, now: float) -> None:
        request = carried.transaction.request
        trust = self._core.trust(carried.source, carried.target)
        self._offers.offer(
            carried.target,
            carried.asked,
            self._answered,
            now,
            headers=survivors(request.headers, trust),
            by_update=request.method == "UPDATE",
        )

    def _answered(self, theirs: SessionDescription | None, status: int, now: float) -> None:
        carried, self._carried = self._carried, None
        if carried is None:
            return
        if status >= 300 or theirs is None:
            told = _OURS_ALONE.get(status, status) if status >= 300 else 500
            self._forgive(carried, now)
            answer(carried.transaction, told, now)
        elif carried.offer is None:
            self._offered(carried, theirs, now)
        else:
            self._complete(carried, carried.offer, theirs, now)

    @staticmethod
    def _forgive(carried: Carried, now: float) -> None:
        """Acknowledge the target's 2xx although the offer that we asked for is missing."""
        target = carried.target
        if target.unacked is not None and target.dialog is not None and target.talking:
            client, target.unacked = target.unacked, None
            target.dialog.ack(client, now=now)

    def _complete(
        self, carried: Carried, offer: SessionDescription, theirs: SessionDescription, now: float
    ) -> None:
        source, target = carried.source, carried.target
        try:
            if carried.asked is not None:
                target.media.agree(carried.asked, theirs)
            if carried.transaction.answered or not source.talking:
                # the sender gave up, but the target has agreed: offer it the sender's last media
                # again
                self._alignment.align(target, source, now)
                return
            ours = source.media.answer(offer, theirs, self._allowed)
            source.media.agree(ours, offer)
        except ParseError:
            answer(carried.transaction, 488, now)
            self._alignment.align(target, source, now)
            return
        self._core.negotiated(target)
        self._settled(source)
        self._accept(source, carried.transaction, ours, carried.timer, now)

    def _settled(self, leg: Leg) -> None:
        """Connect the media after a party's offer was answered, and report a change of hold."""
        self._core.reconnect()
        self._core.negotiated(leg)
        holding = leg.media.held
        if holding != leg.media.holding:
            leg.media.holding = holding
            kind = CallHeld if holding else CallResumed
            self._core.emit(kind(leg.id, leg.side))

    # --- the offer comes from the other side (INVITE without SDP) ----------------------------

    def _offered(self, carried: Carried, theirs: SessionDescription, now: float) -> None:
        source = carried.source
        if carried.transaction.answered or not source.talking:
            self._decline(carried.target, source, theirs, now)
            return
        try:
            ours = source.media.pass_on(theirs, carried.target.media, self._allowed)
        except ParseError:
            answer(carried.transaction, 488, now)
            self._decline(carried.target, source, theirs, now)
            return
        self._owed = Owed(source, carried.target, ours, theirs)
        self._accept(source, carried.transaction, ours, carried.timer, now)

    def _decline(self, target: Leg, source: Leg, theirs: SessionDescription, now: float) -> None:
        """Answer the target's offer with the source's last description."""
        client, target.unacked = target.unacked, None
        if client is None or target.dialog is None or not target.talking:
            return
        back = self._back(target, theirs, source.media.theirs)
        if back is None:
            target.dialog.ack(client, now=now)
            self._core.end(Cause.NO_MEDIA, now)
            return
        target.dialog.ack(client, headers=SDP_TYPE, body=bytes(back), now=now)
        self._core.reconnect()

    def _back(
        self, target: Leg, theirs: SessionDescription, said: SessionDescription | None
    ) -> SessionDescription | None:
        if said is None:
            return None
        try:
            back = target.media.answer(theirs, said, self._allowed)
            target.media.agree(back, theirs)
        except ParseError:
            return None
        return back

    def acknowledged(self, leg: Leg, request: Request, now: float) -> None:
        """Handle an ACK: take its answer to our offer, and send an offer that waited for it."""
        self._acknowledge(leg, request, now)
        carried = self._carried
        if carried is not None and carried.held and carried.target is leg:
            carried.held = False
            self._cross(carried, now)

    def _acknowledge(self, leg: Leg, request: Request, now: float) -> None:
        owed = self._owed
        if owed is None or owed.source is not leg:
            return
        self._owed = None
        try:
            said = description(request)
            if said is not None:
                leg.media.agree(owed.ours, said)
        except ParseError:
            said = None
        if owed.target is not None and owed.theirs is not None:
            if said is None:
                self._core.end(Cause.NO_MEDIA, now)
                return
            self._return(owed.target, owed.theirs, said, now)
        self._core.reconnect()
        self._core.negotiated(leg)

    def _return(
        self, target: Leg, theirs: SessionDescription, said: SessionDescription, now: float
    ) -> None:
        client, target.unacked = target.unacked, None
        back = self._back(target, theirs, said)
        if client is None or target.dialog is None or not target.talking:
            return
        if back is None:
            target.dialog.ack(client, now=now)
            self._core.end(Cause.NO_MEDIA, now)
            return
        target.dialog.ack(client, headers=SDP_TYPE, body=bytes(back), now=now)
        self._core.negotiated(target)

    # --- giving up ----------------------------------------------------------------------------

    def cancelled(self, invite: InviteServer, now: float) -> None:
        """Give up the exchange whose re-INVITE its sender has cancelled."""
        if self._carried is not None and self._carried.transaction is invite:
            self._give_up(self._carried, now)

    def _give_up(self, carried: Carried, now: float) -> None:
        if carried.held:
            self._carried = None
        else:
            self._offers.cancel(carried.target, now)

    def gone(self, leg: Leg) -> None:
        """Forget an awaited ACK or a waiting offer that concerns a leg that has ended."""
        if self._owed is not None and leg in {self._owed.source, self._owed.target}:
            self._owed = None
        carried = self._carried
        if carried is not None and carried.held and leg in {carried.source, carried.target}:
            self._carried = None

    def next_timer(self) -> float | None:
        """Return the time at which the exchange in progress is given up, or None."""
        return None if self._carried is None else self._carried.deadline

    def timer(self, now: float) -> None:
        """Answer 504 and give up an exchange whose deadline has passed."""
        carried = self._carried
        if carried is not None and carried.deadline is not None and now >= carried.deadline:
            carried.deadline = None
            answer(carried.transaction, 504, now)
            self._give_up(carried, now)
