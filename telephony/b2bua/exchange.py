"""Handle an offer that a peer sends within a dialog, in a re-INVITE or UPDATE.

If an offer changes the direction (a hold), the codecs or the packet times, we pass it on to the
other leg, and pass the answer back. We answer any other offer ourselves. For a re-INVITE without
SDP, we ask the other leg for an offer. While the call's owner holds the call, we pass on only an
offer that ends the callee's own hold. A call passes on one offer at a time. Until its answer is
sent, another offer gets 491 (RFC 3261 14.2). If the exchange fails, both legs return to their
earlier media. If an offer that we asked for cannot be answered, the call ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.b2bua.bodies import NOT_UNDERSTOOD, description
from telephony.b2bua.core import SDP_TYPE, CallCore, EndCause, answer
from telephony.b2bua.events import CallHeld, CallResumed
from telephony.b2bua.headers import passed_fields
from telephony.b2bua.leg import Leg
from telephony.b2bua.offers import Alignment, Offers
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
from telephony.sip.message.messages import Request
from telephony.sip.ua.server_request import ServerRequest
from telephony.sip.ua.uas import InviteServer

_STATUS_FOR_SENDER = {401: 500, 407: 500, 408: 504, 422: 500, 481: 500}
"""Maps a failure status from the other leg to the status for the sender.

401, 407 and 422 ask us, not the sender, to change our request. 408 and 481 would end the sender's
own dialog (RFC 3261 12.2.1.2), although only the other leg has failed.
"""


@dataclass(slots=True)
class ForwardedOffer:
    """A re-INVITE or UPDATE that we pass on. If `offer` is None, we ask the target for an offer."""

    source: Leg
    transaction: ServerRequest
    offer: SessionDescription | None
    target: Leg
    target_offer: SessionDescription | None
    """Our offer to the target; None means that we ask the target for an offer."""
    timer: SessionTimer
    deadline: float | None
    """The time at which the source gets 504; None before the exchange starts and after the 504."""
    waits_for_ack: bool = False
    """True while our 2xx to an INVITE of the target has no ACK. Our offer waits for it."""


@dataclass(frozen=True, slots=True)
class AwaitedAck:
    """An INVITE without SDP from `source`. The ACK will answer our offer `ours`."""

    source: Leg
    target: Leg | None
    ours: SessionDescription
    theirs: SessionDescription | None
    """The offer of `target` from which `ours` was made. None if no other leg was asked."""


class Exchange:
    """The offer/answer exchange between the two joined legs; at most one is in progress."""

    def __init__(self, core: CallCore, offers: Offers, alignment: Alignment) -> None:
        self._core = core
        self._offers = offers
        self._alignment = alignment
        self._allowed = core.settings.codecs
        self._forwarded: ForwardedOffer | None = None
        self._awaited_ack: AwaitedAck | None = None

    def is_forwarding(self, transaction: ServerRequest) -> bool:
        """Return whether this request and its header fields are passed on to the other leg."""
        return self._forwarded is not None and self._forwarded.transaction is transaction

    @property
    def _in_progress(self) -> bool:
        return self._forwarded is not None or self._awaited_ack is not None

    # --- a re-INVITE or UPDATE from a peer --------------------------------------------------

    def incoming(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        """Handle a re-INVITE or UPDATE that arrives within a confirmed dialog."""
        try:
            offer = description(request)
            timer = agree_to_request(request, self._core.settings.session, now)
        except ParseError as error:
            headers = NOT_UNDERSTOOD if error.status == 415 else ()
            answer(transaction, error.status, now, headers=headers)
            return
        except IntervalTooSmallError:
            least = (("Min-SE", str(self._core.settings.session.least)),)
            answer(transaction, 422, now, headers=least)
            return
        if offer is None and request.method == "UPDATE":
            self._accept(leg, transaction, None, timer, now)
        elif self._in_progress or self._offers.offering(leg):
            answer(transaction, 491, now)
        elif offer is None:
            self._offerless(leg, transaction, timer, now)
        elif leg.media.has_agreed and same_media(offer, leg.media.remote_description):
            self._note_hold(leg)
            self._accept(leg, transaction, leg.media.current(), timer, now)
        elif self._core.owner_holds and not self._resumes(leg, offer):
            other = self._core.other(leg)
            said = other.media.remote_description if other is not None else None
            self._answer_locally(leg, transaction, offer, timer, now, said=said)
        else:
            self._changed(leg, transaction, offer, timer, now)

    def _resumes(self, leg: Leg, offer: SessionDescription) -> bool:
        """End the owner's hold if the offer ends the callee's own hold; return whether it does.

        Any other offer, such as a refresh, does not end the owner's hold.
        """
        index = offer.audio_index()
        receives = index is not None and offer.direction(index).receives
        if leg is not self._core.callee or not leg.media.holds_other or not receives:
            return False
        self._core.set_owner_hold(held=False)
        return True

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
        leg.timer = timer

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
            self._answer_locally(leg, transaction, offer, timer, now)
            return
        try:
            if other.media.is_unchanged(offer, leg.media, self._allowed):
                self._answer_locally(
                    leg, transaction, offer, timer, now, said=other.media.remote_description
                )
                return
            target_offer = other.media.pass_on(offer, leg.media, self._allowed)
        except ParseError as error:
            answer(transaction, error.status, now)
            return
        self._pass_on(
            ForwardedOffer(leg, transaction, offer, other, target_offer, timer, None), now
        )

    def _answer_locally(
        self,
        leg: Leg,
        transaction: ServerRequest,
        offer: SessionDescription,
        timer: SessionTimer,
        now: float,
        *,
        said: SessionDescription | None = None,
    ) -> None:
        """Answer an offer of `leg` without asking the other leg.

        The answer is built from `said`, the newest description of the other leg's peer. If this is
        None, the answer is built only from the offer and our settings.
        """
        try:
            ours = leg.media.answer(offer, said, self._allowed)
            leg.media.agree(ours, offer)
        except ParseError as error:
            answer(transaction, error.status, now)
            return
        self._media_changed(leg)
        self._accept(leg, transaction, ours, timer, now)

    def _offerless(
        self, leg: Leg, transaction: ServerRequest, timer: SessionTimer, now: float
    ) -> None:
        other = self._core.other(leg)
        if other is not None and other.talking and not self._core.owner_holds:
            self._pass_on(ForwardedOffer(leg, transaction, None, other, None, timer, None), now)
        elif (ours := leg.media.current()) is not None:
            self._awaited_ack = AwaitedAck(leg, None, ours, None)
            self._accept(leg, transaction, ours, timer, now)
        else:
            answer(transaction, 500, now)

    # --- passing an offer on, and sending the answer back -----------------------------------

    def _pass_on(self, forwarded: ForwardedOffer, now: float) -> None:
        forwarded.deadline = now + self._core.settings.request_timeout
        self._forwarded = forwarded
        dialog = forwarded.target.dialog
        forwarded.waits_for_ack = dialog is not None and dialog.ack_due
        if not forwarded.waits_for_ack:
            self._send(forwarded, now)

    def _send(self, forwarded: ForwardedOffer, now: float) -> None:
        request = forwarded.transaction.request
        trust = self._core.trust_between(forwarded.source, forwarded.target)
        self._offers.offer(
            forwarded.target,
            forwarded.target_offer,
            self._answered,
            now,
            headers=passed_fields(request.headers, trust),
            by_update=request.method == "UPDATE",
        )

    def _answered(self, theirs: SessionDescription | None, status: int, now: float) -> None:
        forwarded, self._forwarded = self._forwarded, None
        if forwarded is None:
            return
        if status >= 300 or theirs is None:
            sent = _STATUS_FOR_SENDER.get(status, status) if status >= 300 else 500
            self._ack_without_offer(forwarded, now)
            answer(forwarded.transaction, sent, now)
        elif forwarded.offer is None:
            self._offered(forwarded, theirs, now)
        else:
            self._complete(forwarded, forwarded.offer, theirs, now)

    @staticmethod
    def _ack_without_offer(forwarded: ForwardedOffer, now: float) -> None:
        """If the target sent a 2xx without a usable offer, acknowledge it without SDP."""
        target = forwarded.target
        if target.invite_to_ack is not None and target.dialog is not None and target.talking:
            client, target.invite_to_ack = target.invite_to_ack, None
            target.dialog.ack(client, now=now)

    def _complete(
        self,
        forwarded: ForwardedOffer,
        offer: SessionDescription,
        theirs: SessionDescription,
        now: float,
    ) -> None:
        source, target = forwarded.source, forwarded.target
        try:
            if forwarded.target_offer is not None:
                target.media.agree(forwarded.target_offer, theirs)
            if forwarded.transaction.answered or not source.talking:
                # The target has accepted our offer, but the source no longer waits for a response.
                # So the media of the source does not change. Send the target a new offer with the
                # unchanged media of the source.
                self._alignment.align(target, source, now)
                return
            ours = source.media.answer(offer, theirs, self._allowed)
            source.media.agree(ours, offer)
        except ParseError:
            answer(forwarded.transaction, 488, now)
            self._alignment.align(target, source, now)
            return
        self._core.emit_media(target)
        self._media_changed(source)
        self._accept(source, forwarded.transaction, ours, forwarded.timer, now)

    def _media_changed(self, leg: Leg) -> None:
        self._core.reconnect()
        self._core.emit_media(leg)
        self._note_hold(leg)

    def _note_hold(self, leg: Leg) -> None:
        """Emit `CallHeld` or `CallResumed` if the newest offer of `leg` started or ended a hold.

        This is also called if the offer equals the peer's newest description. That description may
        be an answer which has changed the direction, and an answer emits no event.
        """
        holding = leg.media.peer_not_receiving
        if holding != leg.media.holds_other:
            leg.media.holds_other = holding
            kind = CallHeld if holding else CallResumed
            self._core.emit(kind(leg.id, leg.side))

    # --- a re-INVITE without SDP: asking the other leg for an offer --------------------------

    def _offered(self, forwarded: ForwardedOffer, theirs: SessionDescription, now: float) -> None:
        source = forwarded.source
        if forwarded.transaction.answered or not source.talking:
            self._answer_with_last(forwarded.target, source, theirs, now)
            return
        try:
            ours = source.media.pass_on(theirs, forwarded.target.media, self._allowed)
        except ParseError:
            answer(forwarded.transaction, 488, now)
            self._answer_with_last(forwarded.target, source, theirs, now)
            return
        self._awaited_ack = AwaitedAck(source, forwarded.target, ours, theirs)
        self._accept(source, forwarded.transaction, ours, forwarded.timer, now)

    def _answer_with_last(
        self, target: Leg, source: Leg, theirs: SessionDescription, now: float
    ) -> None:
        """Answer `target` from the newest description of `source`; end the call if this fails."""
        client, target.invite_to_ack = target.invite_to_ack, None
        if client is None or target.dialog is None or not target.talking:
            return
        back = self._build_answer(target, theirs, source.media.remote_description)
        if back is None:
            target.dialog.ack(client, now=now)
            self._core.end(EndCause.NO_MEDIA, now)
            return
        target.dialog.ack(client, headers=SDP_TYPE, body=bytes(back), now=now)
        self._core.reconnect()

    def _build_answer(
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
        """Handle an ACK and any SDP answer in it; send an offer that waited for this ACK."""
        self._acknowledge(leg, request, now)
        forwarded = self._forwarded
        if forwarded is not None and forwarded.waits_for_ack and forwarded.target is leg:
            forwarded.waits_for_ack = False
            self._send(forwarded, now)

    def _acknowledge(self, leg: Leg, request: Request, now: float) -> None:
        awaited = self._awaited_ack
        if awaited is None or awaited.source is not leg:
            return
        self._awaited_ack = None
        try:
            said = description(request)
            if said is not None:
                leg.media.agree(awaited.ours, said)
        except ParseError:
            said = None
        if awaited.target is not None and awaited.theirs is not None:
            if said is None:
                self._core.end(EndCause.NO_MEDIA, now)
                return
            self._answer_target(awaited.target, awaited.theirs, said, now)
        self._core.reconnect()
        self._core.emit_media(leg)

    def _answer_target(
        self, target: Leg, theirs: SessionDescription, said: SessionDescription, now: float
    ) -> None:
        client, target.invite_to_ack = target.invite_to_ack, None
        back = self._build_answer(target, theirs, said)
        if client is None or target.dialog is None or not target.talking:
            return
        if back is None:
            target.dialog.ack(client, now=now)
            self._core.end(EndCause.NO_MEDIA, now)
            return
        target.dialog.ack(client, headers=SDP_TYPE, body=bytes(back), now=now)
        self._core.emit_media(target)

    # --- ending an exchange early -------------------------------------------------------------

    def cancelled(self, invite: InviteServer, now: float) -> None:
        """End the exchange of a re-INVITE that its sender has cancelled."""
        if self._forwarded is not None and self._forwarded.transaction is invite:
            self._give_up(self._forwarded, now)

    def _give_up(self, forwarded: ForwardedOffer, now: float) -> None:
        if forwarded.waits_for_ack:
            self._forwarded = None
        else:
            self._offers.cancel(forwarded.target, now)

    def on_leg_ended(self, leg: Leg) -> None:
        """Delete the exchange in progress if it waits for an ACK and `leg` is one of its legs."""
        awaited, forwarded = self._awaited_ack, self._forwarded
        if awaited is not None and leg in {awaited.source, awaited.target}:
            self._awaited_ack = None
        if forwarded is None or not forwarded.waits_for_ack:
            return
        if leg in {forwarded.source, forwarded.target}:
            self._forwarded = None

    def next_timer(self) -> float | None:
        """Return the deadline of the exchange in progress; None if no deadline is set."""
        return None if self._forwarded is None else self._forwarded.deadline

    def timer(self, now: float) -> None:
        """End the exchange after its deadline; the sender of the re-INVITE or UPDATE gets 504."""
        forwarded = self._forwarded
        if forwarded is not None and forwarded.deadline is not None and now >= forwarded.deadline:
            forwarded.deadline = None
            answer(forwarded.transaction, 504, now)
            self._give_up(forwarded, now)
