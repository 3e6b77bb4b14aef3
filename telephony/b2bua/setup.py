"""The setup of a call: all steps from the caller's INVITE to the final response and the ACK."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from telephony.b2bua.attempt import Attempt, Failure, InviteTemplate, early_description
from telephony.b2bua.bodies import NOT_UNDERSTOOD, description, require_sdp_accepted
from telephony.b2bua.core import SDP_TYPE, CallCore, EndCause, answer
from telephony.b2bua.events import CallAnswered
from telephony.b2bua.headers import HeaderFields, Trust, passed_fields, passed_reason, without_tag
from telephony.b2bua.join import replaced_dialog
from telephony.b2bua.leg import Leg
from telephony.b2bua.redirection import FindTargets, Redirections
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.session_timer import (
    IntervalTooSmallError,
    agree_to_request,
    agree_to_response,
    answer_fields,
)
from telephony.b2bua.settings import LaterTargets, Target
from telephony.errors import NoPortsError, ParseError
from telephony.sdp import SessionDescription, cut_offer
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.events import InviteAnswered, InviteProgress
from telephony.sip.message.messages import Request
from telephony.sip.message.rack import requires_reliable
from telephony.sip.ua.uas import InviteServer

_STATUS_FOR_CALLER = {401: 502, 407: 502, 487: 480, 503: 500}
"""A table from a target's failure status to the status that the caller gets instead.

For example, a target's 401 concerns only us and the target, so the caller gets a 502.
`Setup.on_failure` uses this table.
"""


class Setup:
    """Rings the targets of a new call and answers the caller's INVITE.

    Later targets, such as those of a transfer, are not rung by this class.
    """

    def __init__(self, core: CallCore, refresh: Refresh, invite: InviteServer) -> None:
        """Create the object without sending a message."""
        self._core = core
        self._refresh = refresh
        self._invite = invite
        self._tags: dict[str, str | None] = {}
        """A table from a target's To tag to the To tag in our responses to the caller (see `_tag`).

        A value of None means that the endpoint chooses our tag.
        """
        self._reliable_answers: dict[str | None, SessionDescription] = {}
        """The session descriptions in reliable provisional responses to the caller (RFC 3262).

        The dict key is our To tag in the response.
        """
        self._sent_ringing = False
        """True if several targets ring and the caller has already got a 180.

        The caller gets only one 180, and not a 180 for each target.
        """
        self.offer: SessionDescription | None = None
        """The offer in the caller's INVITE; None if that INVITE has no offer."""
        self.max_forwards = 70
        self.find_targets: FindTargets = lambda _contact, _now: ()
        self.attempt: Attempt | None = None
        self.awaiting_ack: tuple[Leg, InviteAnswered, SessionDescription] | None = None
        """The leg that has answered, the event that reports its 2xx, and the offer in this 2xx.

        The value is set only while we wait for the caller's ACK, which contains the SDP answer. At
        all other times the value is None. If the caller's INVITE had an offer, we do not wait for
        the ACK.
        """

    # --- the caller's INVITE ----------------------------------------------------------------

    def check(self, now: float) -> int:
        """Check the caller's INVITE; return the status that refuses it, or 0 if it is acceptable.

        An INVITE that has passed through us before is refused as a loop, even if its Request-URI
        has changed since then. Without this check, we would route the INVITE again by the new
        Request-URI, and the call would be recorded twice.
        """
        request = self._invite.request
        if self._core.endpoint.looped(request):
            return 482
        hops = _hops(request)
        if hops <= 0:
            return 483
        self.max_forwards = hops - 1
        if request.headers.get("Replaces") is not None:
            return self._replaces()
        try:
            require_sdp_accepted(request)
            self.offer = description(request)
            if self.offer is not None:
                settings = self._core.settings
                cut = cut_offer(self.offer, settings.codecs, settings.caller_srtp)
                self._core.caller.media.check_reachable(cut)
            agree_to_request(request, self._core.settings, now)
        except ParseError as error:
            return error.status
        except IntervalTooSmallError:
            return 422
        return 0

    def _replaces(self) -> int:
        """Return the status that refuses an INVITE with Replaces.

        The status is 481 if we have no dialog that the Replaces names (RFC 3891 section 3).
        Otherwise the status is 603. An INVITE that may replace a leg does not come to this method,
        because the application handles it before (see `leg_to_replace`).
        """
        text = self._invite.request.headers.get("Replaces") or ""
        return 481 if replaced_dialog(self._core.endpoint, text) is None else 603

    # --- ringing the targets ----------------------------------------------------------------

    def dial(
        self, targets: Sequence[Target], now: float, later: LaterTargets | None = None
    ) -> None:
        """Ring the targets, or refuse the caller's INVITE with 503 if too few ports are free.

        After the 503, the call ends.
        """
        request, core = self._invite.request, self._core
        wait = min(core.settings.ring_timeout, _expires(request, core.settings.ring_timeout))
        plan = InviteTemplate(request, without_tag(request.to), self.offer, self.max_forwards)
        self.attempt = Attempt(core, self, plan, now + wait)
        self.attempt.redirections = Redirections(self.find_targets)
        try:
            self.attempt.start(targets, now, later)
        except NoPortsError:
            self.refuse(503, now, EndCause.NO_PORTS, headers=(("Retry-After", "10"),))

    def refuse(
        self,
        status: int,
        now: float,
        cause: str,
        *,
        reason: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Answer the caller's INVITE with a failure status, and end the call.

        `cause` is the cause in `CallEnded`. `reason` is the reason phrase of the response; None
        means the standard phrase of `status`. `headers` are added to the response.
        """
        if status == 422:
            headers = (*headers, ("Min-SE", str(self._core.settings.min_se)))
        if status == 415:
            headers = (*headers, *NOT_UNDERSTOOD)
        answer(self._invite, status, now, reason=reason, headers=headers)
        self._core.end(cause, now, status=status)

    # --- the methods of the protocol `AttemptListener` ------------------------------------

    def on_progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """Send a target's provisional response to the caller.

        If several targets ring, only one response is sent for all of them: a 180 without SDP.

        A response with an SDP answer is sent reliably if the caller supports reliable responses
        (RFC 3262). If the caller's INVITE requires reliable responses, every response is sent
        reliably. After an SDP answer was sent reliably, later responses with the same To tag have
        no SDP.
        """
        response = event.response
        if self.offer is None and requires_reliable(self._invite.request):
            # Send nothing: the caller requires that each response is reliable. The first reliable
            # response would have to contain an offer, and we have no offer yet.
            return
        if not self._single:
            if not self._sent_ringing and response.status in {180, 183}:
                self._sent_ringing = True
                answer(self._invite, 180, now)
            return
        if response.status == 199:
            return
        tag = self._tag(event.dialog)
        body = self._early_media(leg, event)
        reliable = bool(body) and self._invite.takes_reliable
        answer(
            self._invite,
            response.status,
            now,
            reason=passed_reason(response, self._trust(leg)),
            headers=(
                *passed_fields(response.headers, self._trust(leg)),
                *(SDP_TYPE if body else ()),
            ),
            body=body,
            to_tag=tag,
            reliable=reliable,
        )
        if reliable and self._core.caller.media.last_sent is not None:
            self._reliable_answers[tag] = self._core.caller.media.last_sent

    @property
    def _single(self) -> bool:
        return self.attempt is not None and self.attempt.single

    def _tag(self, dialog: Dialog | None) -> str | None:
        """Return the To tag of our responses to the caller; `dialog` is our dialog with the target.

        Each dialog with a target has a different To tag. For the first dialog of the call, and if
        `dialog` is None, return None: the endpoint then chooses the tag.
        """
        if dialog is None:
            return None
        tag = dialog.id.remote_tag
        if tag not in self._tags:
            text = f"{self._core.call_id} {dialog.id.local_tag} {tag}"
            made = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
            self._tags[tag] = made if self._tags else None
        return self._tags[tag]

    def _early_media(self, leg: Leg, event: InviteProgress) -> bytes:
        theirs, offer = early_description(event.response), self.offer
        if theirs is None or offer is None or event.dialog is None or self.attempt is None:
            return b""
        sent = self._reliable_answers.get(self._tag(event.dialog))
        try:
            ours = sent or self._answer(offer, theirs)
            leg.media.agree(self.attempt.offers[leg.id], theirs)
            self._core.caller.media.agree(ours, offer)
        except ParseError:
            return b""
        self._report_media(leg)
        self._core.connect(leg)
        return b"" if sent else bytes(ours)

    def _answer(self, offer: SessionDescription, theirs: SessionDescription) -> SessionDescription:
        return self._core.caller.media.answer(offer, theirs, self._core.settings.codecs)

    def _trust(self, leg: Leg) -> Trust:
        return self._core.trust_between(leg, self._core.caller)

    def on_answer(self, leg: Leg, event: InviteAnswered, now: float) -> int:
        """Join the caller with the leg that answered.

        `CallAnswered` is emitted before the caller gets its 200. Return 0 if the legs are joined.
        If the SDP of the target is missing or cannot be used, return a failure status. The target
        is then hung up.
        """
        core, caller = self._core, self._core.caller
        try:
            theirs = self.attempt.answer_of(leg, event) if self.attempt is not None else None
            if theirs is None:
                return 502
            ours = self._agree(leg, event, theirs)
        except ParseError as error:
            return error.status if error.status == 488 else 502
        core.set_confirmed(leg, event.dialog)
        core.join(leg)
        if leg.target is not None:
            core.emit(CallAnswered(leg.id, leg.target, event.response))
        if self.offer is not None:
            self._report_media(leg)
            event.dialog.ack(event.client, now=now)
        else:
            leg.invite_to_ack = event.client
            self.awaiting_ack = (leg, event, theirs)
        timer = agree_to_response(event.response, core.settings, leg.min_se, now)
        self._refresh.start(leg, timer)
        self._accept(leg, event, ours, now)
        if caller.dialog is None:
            core.end(EndCause.CANCELLED, now)
        return 0

    def _agree(
        self, leg: Leg, event: InviteAnswered, theirs: SessionDescription
    ) -> SessionDescription | None:
        """Agree with the target on media, and return the session description for the caller's 2xx.

        The result is our answer to the caller's offer. If the caller's INVITE has no offer, the
        result is the target's offer. None means that a reliable provisional response has already
        given the caller the answer (RFC 3261 13.2.1).

        Raises:
            SdpParseError: The caller and the target have no media in common.
        """
        media = self._core.caller.media
        if self.offer is None or self.attempt is None:
            return media.pass_on(theirs, leg.media, self._core.settings.codecs)
        sent = self._reliable_answers.get(self._tag(event.dialog)) if self._single else None
        ours = sent or self._answer(self.offer, theirs)
        leg.media.agree(self.attempt.offers[leg.id], theirs)
        media.agree(ours, self.offer)
        return None if sent else ours

    def _report_media(self, leg: Leg) -> None:
        self._core.emit_media(self._core.caller)
        self._core.emit_media(leg)

    def _accept(
        self, leg: Leg, event: InviteAnswered, ours: SessionDescription | None, now: float
    ) -> None:
        core, caller = self._core, self._core.caller
        timer = agree_to_request(self._invite.request, core.settings, now)
        dialog = answer(
            self._invite,
            event.response.status,
            now,
            reason=passed_reason(event.response, self._trust(leg)),
            headers=(
                *passed_fields(event.response.headers, self._trust(leg)),
                *answer_fields(timer),
                *(SDP_TYPE if ours is not None else ()),
            ),
            body=bytes(ours) if ours is not None else b"",
            to_tag=self._tag(event.dialog) if self._single else None,
        )
        if dialog is not None:
            core.set_confirmed(caller, dialog)
            self._refresh.start(caller, timer)

    def on_failure(self, failure: Failure, now: float) -> None:
        """Refuse the caller's INVITE because no target has answered, and end the call.

        The caller gets the status of the failure, with three exceptions. A status in
        `_STATUS_FOR_CALLER` is replaced according to that table. A 3xx is replaced by 480. A 408
        that we made ourselves, because no target responded, is also replaced by 480.
        """
        status = _STATUS_FOR_CALLER.get(failure.status, failure.status)
        if 300 <= status < 400 or (status == 408 and failure.response is None):
            status = 480
        response = failure.response
        reason: str | None = None
        headers: HeaderFields = ()
        if response is not None and failure.leg is not None and status == failure.status:
            reason = passed_reason(response, self._trust(failure.leg))
            headers = tuple(
                (name, value)
                for name in ("Reason", "Warning", "Retry-After")
                for value in response.headers.get_all(name)
            )
        self.refuse(status, now, EndCause.FAILED, reason=reason, headers=headers)

    # --- the caller's ACK -------------------------------------------------------------------

    def acknowledged(self, request: Request, now: float) -> None:
        """Handle the caller's ACK, which holds the answer to the target's offer.

        If the answer is missing or cannot be used, end the call.
        """
        if self.awaiting_ack is None:
            return
        (leg, event, theirs), self.awaiting_ack = self.awaiting_ack, None
        caller = self._core.caller.media
        try:
            ours = description(request)
            if ours is None or caller.last_sent is None:
                self._core.end(EndCause.NO_MEDIA, now)
                return
            back = leg.media.answer(theirs, ours, self._core.settings.codecs)
            leg.media.agree(back, theirs)
            caller.agree(caller.last_sent, ours)
        except ParseError:
            self._core.end(EndCause.NO_MEDIA, now)
            return
        leg.invite_to_ack = None
        event.dialog.ack(event.client, headers=SDP_TYPE, body=bytes(back), now=now)
        self._core.reconnect()
        self._report_media(leg)


def _hops(request: Request) -> int:
    value = request.headers.get("Max-Forwards") or "70"
    return min(int(value), 255) if len(value) < 5 else 255


def _expires(request: Request, otherwise: float) -> float:
    value = (request.headers.get("Expires") or "").strip()
    fits = value.isascii() and value.isdigit() and len(value) < 10
    return float(value) if fits and int(value) > 0 else otherwise
