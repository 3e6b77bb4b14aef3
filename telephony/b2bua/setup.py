"""The setup of a call: all steps from the caller's INVITE to the final response and the ACK."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from telephony.b2bua.attempt import (
    Attempt,
    Failure,
    FindTargets,
    InviteTemplate,
    Redirections,
    early_description,
)
from telephony.b2bua.bodies import NOT_UNDERSTOOD, description, require_sdp_accepted
from telephony.b2bua.core import SDP_TYPE, CallCore, EndCause, answer
from telephony.b2bua.events import CallAnswered
from telephony.b2bua.headers import HeaderFields, Trust, passed_fields, passed_reason
from telephony.b2bua.join import replaced_dialog
from telephony.b2bua.leg import Leg
from telephony.b2bua.session_timer import (
    IntervalTooSmallError,
    SessionTimer,
    agree_to_request,
    answer_fields,
)
from telephony.b2bua.settings import LaterTargets, Target
from telephony.errors import NoPortsError, ParseError
from telephony.sdp import SessionDescription, carried_index
from telephony.sip.dialog import Dialog
from telephony.sip.events import InviteAnswered, InviteProgress
from telephony.sip.message.messages import Request, requires_reliable
from telephony.sip.ua.uas import InviteServer

_STATUS_FOR_CALLER = {401: 502, 407: 502, 487: 480, 503: 500}
"""Maps a target's failure status to that for the caller.

For example, a target's 401 concerns only us and the target, so the caller gets a 502.
"""


class Setup:
    """Checks the caller's INVITE, rings the targets, and answers or refuses the INVITE."""

    def __init__(self, core: CallCore, invite: InviteServer) -> None:
        self._core = core
        self._invite = invite
        self._tags: dict[str, str | None] = {}
        """Our To tags for the caller, by the target's tag; None if the endpoint chooses the tag."""
        self._reliable_answers: dict[str | None, SessionDescription] = {}
        """The SDP in reliable provisional responses to the caller (RFC 3262), by our To tag."""
        self._sent_ringing = False
        """True once the caller has got the single 180 that stands for several ringing targets."""
        self.offer: SessionDescription | None = None
        """The offer in the caller's INVITE; None without one."""
        self._timer: SessionTimer
        """The session timer that the caller's INVITE asks for; not set before `check`."""
        self.max_forwards = 70
        self.find_targets: FindTargets = lambda _contact, _now: ()
        self.attempt: Attempt | None = None
        self.awaiting_ack: tuple[Leg, InviteAnswered, SessionDescription] | None = None
        """The leg that has answered, the event of its 2xx, and the offer in this 2xx.

        None unless the INVITE had no offer and we wait for its ACK, which has the SDP answer.
        """

    # --- the caller's INVITE ----------------------------------------------------------------

    def check(self, now: float) -> int:
        """Check the caller's INVITE; return the status that refuses it, or 0 if it is acceptable.

        An INVITE that has passed through us is a loop, even with another Request-URI: we would
        route it again, and record the call twice.
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
                index = carried_index(self.offer, settings.codecs, settings.caller_srtp)
                self._core.caller.media.check_reachable(self.offer, index)
            self._timer = agree_to_request(request, self._core.settings.session, now)
        except ParseError as error:
            return error.status
        except IntervalTooSmallError:
            return 422
        return 0

    def _replaces(self) -> int:
        """Return the status that refuses an INVITE with Replaces: 481 or 603.

        481 means that we have no such dialog (RFC 3891 section 3). An INVITE that may replace a leg
        does not come here, because the application handles it before (see `leg_to_replace`).
        """
        text = self._invite.request.headers.get("Replaces") or ""
        return 481 if replaced_dialog(self._core.endpoint, text) is None else 603

    # --- ringing the targets ----------------------------------------------------------------

    def dial(
        self, targets: Sequence[Target], now: float, later: LaterTargets | None = None
    ) -> None:
        """Ring the targets; if too few ports are free, refuse the INVITE (503) and end the call."""
        request, core = self._invite.request, self._core
        wait = min(core.settings.ring_timeout, _expires(request, core.settings.ring_timeout))
        plan = InviteTemplate(request, request.to.with_tag(None), self.offer, self.max_forwards)
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
        """Refuse the caller's INVITE, and end the call for `cause`."""
        if status == 422:
            headers = (*headers, ("Min-SE", str(self._core.settings.session.least)))
        if status == 415:
            headers = (*headers, *NOT_UNDERSTOOD)
        answer(self._invite, status, now, reason=reason, headers=headers)
        self._core.end(cause, now, status=status)

    # --- the methods of the protocol `AttemptListener` ------------------------------------

    def on_progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """Send the caller a target's provisional response, or one 180 for several targets.

        This 180 has no SDP. A response with an SDP answer is sent reliably (RFC 3262) if the
        caller supports this, and every response if the caller requires it. After a reliable SDP
        answer, responses with the same To tag have no SDP.
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
        tag, trust = self._tag(event.dialog), self._trust(leg)
        body = self._early_media(leg, event)
        reliable = bool(body) and self._invite.takes_reliable
        answer(
            self._invite,
            response.status,
            now,
            reason=passed_reason(response, trust),
            headers=(*passed_fields(response.headers, trust), *(SDP_TYPE if body else ())),
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
        """Return the To tag for the caller, a different one for each dialog with a target.

        For the first dialog, and without a dialog, return None: the endpoint then chooses the tag.
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
        """Join the caller with the leg and return 0. If SDP cannot be used, return a status.

        `CallAnswered` is emitted before the 2xx to the caller. If this returns a status, the
        attempt hangs up the target.
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
        core.start_timer(leg, event.response, now)
        self._accept(leg, event, ours, now)
        if caller.dialog is None:
            core.end(EndCause.CANCELLED, now)
        return 0

    def _agree(
        self, leg: Leg, event: InviteAnswered, theirs: SessionDescription
    ) -> SessionDescription | None:
        """Agree with the target on media, and return the SDP for the 2xx to the caller.

        This SDP answers the caller's offer, or passes on the target's offer if the caller made
        none. None means that a reliable provisional response has already given the answer (RFC 3261
        13.2.1). Raises `SdpParseError` if there is no common media, or the target's SDP cannot be
        used.
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
        timer = SessionTimer(self._timer.interval, self._timer.we_refresh, now)
        trust = self._trust(leg)
        dialog = answer(
            self._invite,
            event.response.status,
            now,
            reason=passed_reason(event.response, trust),
            headers=(
                *passed_fields(event.response.headers, trust),
                *answer_fields(timer),
                *(SDP_TYPE if ours is not None else ()),
            ),
            body=bytes(ours) if ours is not None else b"",
            to_tag=self._tag(event.dialog) if self._single else None,
        )
        if dialog is not None:
            core.set_confirmed(caller, dialog)
            caller.timer = timer

    def on_failure(self, failure: Failure, now: float) -> None:
        """Refuse the caller's INVITE because no target has answered, and end the call.

        The caller gets 480 instead of a 3xx or of our own 408. `_STATUS_FOR_CALLER` replaces some
        other statuses.
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
        """Pass the SDP answer in the caller's ACK to the target; end the call if this fails."""
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
