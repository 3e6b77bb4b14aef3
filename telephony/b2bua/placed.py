"""The setup of a call that we place for a caller: ring the caller's phone, then the targets.

This is third party call control (RFC 3725). Our INVITE to the caller has no offer, so the 2xx has
one, which our ACK answers. The caller hears a ringing tone while the targets ring. After the answer
of a target, the call is like one that the caller has made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telephony.b2bua.attempt import Attempt, Failure, InviteTemplate
from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore, EndCause, decline
from telephony.b2bua.events import CallAnswered, CallerReached
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg
from telephony.b2bua.offers import Alignment
from telephony.b2bua.settings import LaterTargets, Target
from telephony.errors import NoPortsError, ParseError, ProtocolError
from telephony.sip.events import InviteAnswered, InviteFailed, InviteProgress
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request

CALLER_RINGS_S: Final = 30.0
"""The most seconds for which the caller's phone rings."""


@dataclass(frozen=True, slots=True)
class CallerInvite:
    """The INVITE to the caller of a placed call."""

    target: Target
    shown: NameAddr
    """The address that the caller's phone shows, such as the number that will be called."""
    headers: HeaderFields = ()
    """Further header fields, such as a request to answer without ringing."""


class PlacedSetup:
    """Rings the caller's phone, then the targets, as the `AttemptListener` of their attempt."""

    def __init__(self, core: CallCore, alignment: Alignment, request: Request) -> None:
        """Prepare to ring; `request` is the INVITE that the caller would have sent to targets."""
        self._core = core
        self._alignment = alignment
        self._request = request
        self._deadline: float | None = None
        self.attempt: Attempt | None = None
        self.answered = False
        """True once a target has answered."""

    def ring_caller(self, invite: CallerInvite, now: float) -> None:
        """Send the INVITE to the caller's phone; end the call if it cannot be sent."""
        core, leg, target = self._core, self._core.caller, invite.target
        self._deadline = now + CALLER_RINGS_S
        try:
            leg.client_invite = core.endpoint.invite(
                target.uri,
                from_=invite.shown,
                to=NameAddr("", target.uri, ()),
                destination=target.destination,
                headers=(*core.timer_fields(leg), *invite.headers),
                routes=target.path,
                owner=leg,
                now=now,
            )
        except ProtocolError:
            core.end(EndCause.FAILED, now, status=503)

    # --- responses of the caller's phone ------------------------------------------------------

    def caller_event(
        self, event: InviteProgress | InviteAnswered | InviteFailed, now: float
    ) -> None:
        """Handle a response to our INVITE to the caller, or the lack of one."""
        if isinstance(event, InviteFailed):
            self._core.end(EndCause.FAILED, now, status=event.status)
        elif isinstance(event, InviteAnswered):
            self._caller_answered(event, now)
        elif event.answer_due:
            # The response has an offer, which only a PRACK could answer. We do not support this.
            self._core.end(EndCause.NO_MEDIA, now, status=488)

    def _caller_answered(self, event: InviteAnswered, now: float) -> None:
        core, leg = self._core, self._core.caller
        if not leg.alive or leg.talking:
            decline(event, now)
            return
        self._deadline = None
        core.learn_from(leg, event.response)
        try:
            offer = description(event.response)
            ours = leg.media.answer(offer, None, core.settings.codecs) if offer else None
            if offer is not None and ours is not None:
                leg.media.agree(ours, offer)
        except ParseError:
            ours = None
        if ours is None:
            decline(event, now)
            core.end(EndCause.NO_MEDIA, now, status=488)
            return
        core.set_confirmed(leg, event.dialog)
        event.dialog.ack(event.client, headers=SDP_TYPE, body=bytes(ours), now=now)
        core.start_timer(leg, event.response, now)
        core.set_ringback(wanted=True)
        core.emit_media(leg)
        core.emit(CallerReached(leg.id))

    # --- ringing the targets ------------------------------------------------------------------

    def dial(self, targets: Sequence[Target], now: float, later: LaterTargets | None) -> None:
        """Ring the targets after the caller's answer; end the call if too few ports are free."""
        core = self._core
        template = InviteTemplate(
            self._request, to=None, offer=core.caller.media.remote_description, max_forwards=70
        )
        self.attempt = Attempt(core, self, template, now + core.settings.ring_timeout)
        try:
            self.attempt.start(targets, now, later)
        except NoPortsError:
            self.on_failure(Failure(503), now)

    def on_progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """Do nothing: the caller hears our ringing tone until a target answers."""

    def on_answer(self, leg: Leg, event: InviteAnswered, now: float) -> int:
        """Join the caller with the target and return 0. If SDP cannot be used, return a status."""
        core, attempt = self._core, self.attempt
        try:
            theirs = attempt.answer_of(leg, event) if attempt is not None else None
            if theirs is None or attempt is None:
                return 502
            leg.media.agree(attempt.offers[leg.id], theirs)
        except ParseError as error:
            return error.status if error.status == 488 else 502
        self.answered = True
        core.set_confirmed(leg, event.dialog)
        event.dialog.ack(event.client, now=now)
        core.start_timer(leg, event.response, now)
        core.set_ringback(wanted=False)
        core.join(leg)
        if leg.target is not None:
            core.emit(CallAnswered(leg.id, leg.target, event.response))
        core.emit_media(core.caller)
        core.emit_media(leg)
        self._alignment.align(core.caller, leg, now)
        return 0

    def on_failure(self, failure: Failure, now: float) -> None:
        """End the call: no target has answered. The caller gets a BYE with the status in Reason."""
        reason = (("Reason", f"SIP;cause={failure.status}"),)
        self._core.end(EndCause.FAILED, now, reason, failure.status)

    # --- timers -------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return the time at which the method `timer` must be called; None if no timer runs."""
        if self._deadline is not None:
            return self._deadline
        return None if self.attempt is None else self.attempt.next_timer

    def timer(self, now: float) -> None:
        """End the call if the caller has not answered in time. Run the timer of the attempt."""
        if self._deadline is not None and now >= self._deadline:
            self._core.end(EndCause.NO_ANSWER, now, status=408)
        elif self.attempt is not None:
            self.attempt.timer(now)
