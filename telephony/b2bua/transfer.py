"""Blind transfer (RFC 3515, RFC 5589), and the recall after a failed transfer.

The owner accepts or refuses a REFER, or orders a transfer as if the callee had sent one. We ring
the target with the caller's media, while the sender of the REFER stays joined with the caller. When
the target has answered, the sender gets a last NOTIFY and then a BYE. If the transfer fails after
the sender has hung up, we ring the sender again, or targets that the owner chooses: the recall. A
REFER with Replaces asks for an attended transfer; `join.py` describes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from telephony.b2bua.attempt import Attempt, Failure, InviteTemplate
from telephony.b2bua.checkpoint import TargetCheckpoint, TransferCheckpoint, request_to_text
from telephony.b2bua.core import CallCore, EndCause, answer
from telephony.b2bua.events import (
    Recalled,
    TransferCompleted,
    TransferFailed,
    TransferProgress,
    TransferRequested,
)
from telephony.b2bua.headers import passed_reason
from telephony.b2bua.join import JoinPlan, leg_named_by_replaces
from telephony.b2bua.leg import Leg
from telephony.b2bua.offers import Alignment
from telephony.b2bua.referral import PendingRefer, notify_request, refer_to
from telephony.b2bua.settings import Target
from telephony.errors import NoPortsError, ParseError, ProtocolError
from telephony.sdp import Direction
from telephony.sip.events import InviteAnswered, InviteProgress
from telephony.sip.message.grammar import REASONS
from telephony.sip.message.messages import Request, Response
from telephony.sip.ua.server_request import ServerRequest

_OWNER_WAIT: Final = 5.0
"""The seconds after which a REFER without a decision of the owner is refused with 603."""
_LAST_NOTIFY_WAIT: Final = 4.0
"""The seconds from the final NOTIFY of a completed transfer to our BYE, if no response comes."""
_RECENT_FAILURE_WAIT: Final = 2.0
"""The seconds for which a BYE of the REFER's sender does not end the call, after a failure.

They begin with the response to the NOTIFY about the failure. Without a NOTIFY, they begin at the
failure. Some phones hang up by themselves at this NOTIFY, baresip 1.1 for example after 10 ms.
"""


@dataclass(frozen=True, slots=True)
class RecentFailure:
    """A failed transfer for which the phone of the REFER's sender may still hang up by itself."""

    leg: Leg
    until: float
    """The time until which a BYE on `leg` does not end the call.

    It is infinite until the NOTIFY about the failure has its response.
    """
    failed: TransferFailed


class ReferTransfers:
    """Handles the transfers of one call, one at a time, as `AttemptListener` of their attempts."""

    def __init__(self, core: CallCore, alignment: Alignment, request: Request) -> None:
        """Create the object; `request`, the caller's INVITE, is the model for our INVITEs."""
        self._core = core
        self._alignment = alignment
        self._request = request
        self.max_forwards = 70
        self._serial = 0
        self._referral: PendingRefer | None = None
        self._attempt: Attempt | None = None
        self._recalling = False
        """True while the recall rings, after a failed transfer whose sender has hung up."""
        self._recall_at: float | None = None
        """The time of the planned recall; None without one. `ring_again` can start it earlier."""
        self._recall_target: Target | None = None
        self._last_notify: tuple[Leg, float] | None = None
        """The leg that got the final NOTIFY, and the latest time for our BYE to it; or None."""
        self._recent_failure: RecentFailure | None = None

    # --- receiving a REFER ------------------------------------------------------------------

    def on_refer(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        """Check a REFER: refuse it, or emit `TransferRequested` if the REFER is acceptable."""
        if not self._may_refer(leg, request):
            answer(transaction, 603, now)
            return
        if self._referral is not None:
            answer(transaction, 500, now, headers=(("Retry-After", "10"),))
            return
        found = refer_to(request)
        if isinstance(found, int):
            answer(transaction, found, now)
            return
        self._serial += 1
        self._recent_failure = None
        self._referral = PendingRefer.of(self._serial, leg, transaction, found, now)
        replaces = self._referral.replaces
        self._core.emit(TransferRequested(self._serial, leg.id, leg.side, found, replaces))

    def _may_refer(self, leg: Leg, request: Request) -> bool:
        """Return whether the peer of `leg` may send this REFER.

        The joined callee may send any REFER. The caller may only ask for a join: the Replaces must
        name the joined callee leg of another call, whose peer is at the caller's host.
        """
        if not self._core.settings.allow_transfer:
            return False
        if leg is self._core.callee:
            return True
        found = refer_to(request)
        replaces = None if isinstance(found, int) else found.uri.header("Replaces")
        if leg is not self._core.caller or replaces is None:
            return False
        named = leg_named_by_replaces(self._core.endpoint, leg, replaces)
        return named is not None and named is named.call.core.callee

    def refuse(self, request_id: int, status: int, now: float) -> None:
        """Refuse a REFER (`TransferRequested`) that still waits for a decision."""
        referral = self._referral
        if referral is not None and referral.request_id == request_id and not referral.accepted:
            self._referral = None
            referral.answer(status, now)

    def accept(self, request_id: int, targets: Sequence[Target], now: float) -> bool:
        """Accept a REFER (see `BackToBackCall.accept_transfer`); return whether it was accepted."""
        referral = self._referral
        if referral is None or referral.request_id != request_id or referral.accepted:
            return False
        unknown = referral.replaces is not None and self.leg_in_other_call(request_id) is None
        if unknown or referral.leg is not self._core.callee:
            self.refuse(request_id, 603, now)
            return False
        referral.accepted = True
        referral.answer(202, now, referral.headers)
        self._notify("100 Trying", now)
        self._ring(targets, now, self._core.settings.transfer_timeout)
        return True

    def begin(self, targets: Sequence[Target], now: float) -> bool:
        """Begin a blind transfer without a REFER; return False if none can begin now."""
        callee = self._core.callee
        ringing = self._attempt is not None and not self._attempt.over
        if callee is None or self._referral is not None or ringing:
            return False
        self._serial += 1
        self._recent_failure = None
        self._referral = PendingRefer.ordered(self._serial, callee, now)
        self._ring(targets, now, self._core.settings.transfer_timeout)
        return True

    @property
    def transferor(self) -> Leg | None:
        """The leg whose REFER waits for a decision or whose transfer is in progress, or None."""
        return None if self._referral is None else self._referral.leg

    def leg_in_other_call(self, request_id: int) -> Leg | None:
        """Return the sender's leg in another call that the REFER's Replaces names, or None."""
        referral = self._referral
        if referral is None or referral.request_id != request_id or referral.replaces is None:
            return None
        return leg_named_by_replaces(self._core.endpoint, referral.leg, referral.replaces)

    def complete_join(self, request_id: int, plan: JoinPlan, now: float) -> None:
        """Send the REFER's sender 202, NOTIFY and later BYE. Its other leg gets a BYE at once."""
        referral = self._referral
        if referral is None or referral.request_id != request_id:
            return
        self._referral = None
        referral.answer(202, now, referral.headers)
        self._release_transferor(referral, now)
        if referral.leg is plan.kept_leg:
            plan.ending_leg.call.core.end(EndCause.TRANSFERRED, now)
        else:
            plan.kept_leg.call.core.end_leg(plan.kept_leg, EndCause.TRANSFERRED, now)

    # --- ringing the targets of a transfer --------------------------------------------------

    def _ring(self, targets: Sequence[Target], now: float, seconds: float) -> None:
        core, media = self._core, self._core.caller.media
        plan = InviteTemplate(
            self._request,
            to=None,
            offer=media.remote_description,
            max_forwards=self.max_forwards,
            direction=None if media.holds_other else Direction.SENDRECV,
        )
        self._attempt = Attempt(core, self, plan, now + seconds)
        try:
            self._attempt.start(targets, now)
        except NoPortsError:
            self.on_failure(Failure(503), now)

    def on_progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """Report a ringing target to the owner and the REFER's sender, but not twice in a row."""
        referral = self._referral
        if referral is None or self._recalling:
            return
        status = event.response.status
        if referral.last_ringing_leg is not leg:
            referral.last_ringing_leg = leg
            self._core.emit(TransferProgress(referral.request_id, leg.id, status))
            self._notify(f"{status} {self._phrase(event.response, leg, referral)}", now)

    def on_answer(self, leg: Leg, event: InviteAnswered, now: float) -> int:
        """Join the caller with the target and return 0. If SDP cannot be used, return a status."""
        core, attempt = self._core, self._attempt
        try:
            theirs = attempt.answer_of(leg, event) if attempt is not None else None
            if theirs is None or attempt is None or leg.id not in attempt.offers:
                return 502
            leg.media.agree(attempt.offers[leg.id], theirs)
        except ParseError as error:
            return error.status if error.status == 488 else 502
        core.set_confirmed(leg, event.dialog)
        event.dialog.ack(event.client, now=now)
        core.start_timer(leg, event.response, now)
        core.set_ringback(wanted=False)
        core.join(leg)
        self._report_answer(leg, event.response, now)
        core.emit_media(core.caller)
        core.emit_media(leg)
        self._alignment.align(core.caller, leg, now)
        return 0

    def _report_answer(self, leg: Leg, response: Response, now: float) -> None:
        referral, self._referral = self._referral, None
        if leg.target is None:
            return
        if self._recalling:
            self._recalling = False
            self._core.emit(Recalled(leg.id, leg.target, response))
        elif referral is not None:
            done = TransferCompleted(referral.request_id, leg.id, leg.target, response)
            self._core.emit(done)
            self._release_transferor(referral, now)

    def _release_transferor(self, referral: PendingRefer, now: float) -> None:
        """Send the REFER's sender the final NOTIFY, and a BYE after its response.

        The BYE is sent after `_LAST_NOTIFY_WAIT` at the latest, and at once if the NOTIFY cannot be
        sent. If the sender hangs up first, there is no BYE.
        """
        old = referral.leg
        if not old.talking:
            return
        self._last_notify = old, now + _LAST_NOTIFY_WAIT
        if not self._notify_of(referral, "200 OK", now, last=True):
            self._hang_up(old, now)

    def _hang_up(self, leg: Leg, now: float) -> None:
        if self._last_notify is not None and self._last_notify[0] is leg:
            self._last_notify = None
        self._core.end_leg(leg, EndCause.TRANSFERRED, now)
        if not any(other.alive for other in self._core.legs.values()):
            # All other legs of this call have ended or moved to another call.
            self._core.end(EndCause.TRANSFERRED, now)

    def on_failure(self, failure: Failure, now: float) -> None:
        """Report a failed transfer, and plan a recall if the REFER's sender has hung up.

        A failed recall ends the call.
        """
        if self._recalling:
            self._core.end(EndCause.RECALL_FAILED, now)
            return
        referral, self._referral = self._referral, None
        if referral is None:
            return
        phrase = _PHRASES.get(failure.status, "Failed")
        if failure.response is not None and failure.leg is not None:
            phrase = self._phrase(failure.response, failure.leg, referral)
        if not referral.leg.talking:
            self._report_transferor_gone(referral.leg, referral.request_id, failure.status, now)
            return
        failed = TransferFailed(referral.request_id, failure.status, transferor_gone=False)
        notified = self._notify_of(referral, f"{failure.status} {phrase}", now, last=True)
        until = math.inf if notified else now + _RECENT_FAILURE_WAIT
        self._recent_failure = RecentFailure(referral.leg, until, failed)
        self._core.emit(failed)

    def _phrase(self, response: Response, leg: Leg, referral: PendingRefer) -> str:
        """Return the reason phrase of a target's response, as the REFER's sender may see it."""
        phrase = passed_reason(response, self._core.trust_between(leg, referral.leg))
        return REASONS.get(response.status, "") if phrase is None else phrase

    def _report_transferor_gone(self, leg: Leg, request_id: int, status: int, now: float) -> None:
        """Report a failed transfer with its status, and plan to ring the REFER's sender again."""
        self._core.emit(TransferFailed(request_id, status, transferor_gone=True))
        self._recall_target = leg.target
        self._recall_at = now

    # --- the REFER's sender hangs up; it is rung again if the transfer fails ------------------

    def on_leg_left(self, leg: Leg, now: float) -> bool:
        """Handle a leg whose peer has hung up; return whether this is a step of a transfer.

        If it is not, and the leg is joined with the caller, the calling code must end the call.
        """
        recent, self._recent_failure = self._recent_failure, None
        if recent is not None and recent.leg is leg and now <= recent.until:
            self._core.set_ringback(wanted=True)
            self._report_transferor_gone(leg, recent.failed.request_id, recent.failed.status, now)
            return True
        referral = self._referral
        if self._last_notify is not None and self._last_notify[0] is leg:
            self._last_notify = None
            return True
        if referral is None or referral.leg is not leg or not referral.accepted:
            return False
        referral.subscribed = False
        if self._core.callee is leg:
            self._core.set_ringback(wanted=True)
        return True

    def ring_again(self, targets: Sequence[Target], now: float) -> None:
        """Ring `targets` instead of a planned recall; do nothing if none is planned."""
        if self._recall_at is None:
            return
        self._recall_at = None
        self._recalling = True
        self._core.set_ringback(wanted=True)
        self._ring(targets, now, self._core.settings.recall_timeout)

    # --- sending NOTIFYs --------------------------------------------------------------------

    def _notify(self, status_line: str, now: float) -> None:
        if self._referral is not None:
            self._notify_of(self._referral, status_line, now, last=False)

    def _notify_of(
        self, referral: PendingRefer, status_line: str, now: float, *, last: bool
    ) -> bool:
        if not referral.subscribed or not referral.leg.talking:
            return False

        def then(_response: Response | None, status: int, at: float) -> None:
            if status == 481:
                referral.subscribed = False
            if self._last_notify is not None and self._last_notify[0] is referral.leg and last:
                self._hang_up(referral.leg, at)
            recent = self._recent_failure
            if recent is not None and recent.failed.request_id == referral.request_id and last:
                self._recent_failure = replace(recent, until=at + _RECENT_FAILURE_WAIT)

        queued = notify_request(referral.event, status_line, then, lasts=self._lasts, last=last)
        return referral.leg.requests.add(queued, now)

    @property
    def _lasts(self) -> int:
        return int(self._core.settings.transfer_timeout) + 60

    # --- continuing after a restart of the process --------------------------------------------

    @cached_property
    def _request_text(self) -> str:
        """The caller's INVITE in the checkpoint. It is the same in each checkpoint of the call."""
        return request_to_text(self._request)

    def checkpoint(self) -> TransferCheckpoint:
        """Return the values for `resume`: the caller's INVITE and the transfer in progress."""
        referral = self._referral
        waiting = referral is not None and referral.accepted and referral.subscribed
        recall = self._recall_target if referral is None else referral.leg.target
        return TransferCheckpoint(
            request=self._request_text,
            max_forwards=self.max_forwards,
            serial=self._serial,
            accepted=referral is not None and referral.accepted,
            event=referral.event if referral is not None and waiting else None,
            recall=TargetCheckpoint.of(recall) if recall is not None else None,
        )

    def resume(self, before: TransferCheckpoint, now: float) -> None:
        """Continue after a restart with the saved state `before`.

        A transfer in progress counts as failed. If the caller is not joined with a callee, plan to
        ring the target in `before.recall`.

        Raises:
            ProtocolError: No callee is joined with the caller, and `before.recall` is None.
            SipParseError: The target in `before.recall` cannot be read.
        """
        self.max_forwards, self._serial = before.max_forwards, before.serial
        callee, event, recall = self._core.callee, before.event, before.recall
        if callee is None:
            if recall is None:
                raise ProtocolError("the checkpoint has neither a callee nor a recall")
            self._recall_target, self._recall_at = recall.target(), now
        elif event is not None:
            last = notify_request(event, _CUT_SHORT, _ignore_response, lasts=self._lasts, last=True)
            callee.requests.add(last, now)
        if callee is None or before.accepted:
            self._core.emit(TransferFailed(self._serial, 503, callee is None))

    def release(self) -> None:
        """Forget the attempt, which refers back to this object, because the call has ended."""
        self._attempt = None

    # --- the current attempt and the timers ---------------------------------------------------

    @property
    def attempt(self) -> Attempt | None:
        """The current or most recent attempt to ring targets; None before the first attempt."""
        return self._attempt

    def next_timer(self) -> float | None:
        """Return the time at which the method `timer` must be called; None if no timer runs."""
        due = [self._recall_at] if self._recall_at is not None else []
        if self._last_notify is not None:
            due.append(self._last_notify[1])
        if self._referral is not None and not self._referral.accepted:
            due.append(self._referral.asked_at + _OWNER_WAIT)
        if self._attempt is not None and self._attempt.next_timer is not None:
            due.append(self._attempt.next_timer)
        return min(due, default=None)

    def timer(self, now: float) -> None:
        """Do what is due: recall, BYE after the final NOTIFY, 603 for a REFER, end of ringing."""
        if self._recall_at is not None and now >= self._recall_at:
            self._recall(now)
        if self._last_notify is not None and now >= self._last_notify[1]:
            self._hang_up(self._last_notify[0], now)
        referral = self._referral
        if (
            referral is not None
            and not referral.accepted
            and now >= referral.asked_at + _OWNER_WAIT
        ):
            self.refuse(referral.request_id, 603, now)
        if self._attempt is not None:
            self._attempt.timer(now)

    def _recall(self, now: float) -> None:
        if self._recall_target is None:
            self._core.end(EndCause.RECALL_FAILED, now)
        else:
            self.ring_again([self._recall_target], now)


def _ignore_response(_response: Response | None, _status: int, _now: float) -> None:
    """Do nothing with the response to a NOTIFY, because its transfer is no longer in progress."""


_CUT_SHORT: Final = "503 Service Unavailable"
_PHRASES: Final = {408: "Request Timeout", 487: "Request Terminated", 503: "Service Unavailable"}
