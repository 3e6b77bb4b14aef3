"""Blind transfer (RFC 3515, RFC 5589), and the recall after a failed transfer.

A REFER waits until the owner of the call (the application) accepts or refuses it. The owner can
also order a transfer by itself, as if the callee had sent a REFER. Then we ring the
target with the caller's media, while the sender of the REFER stays joined with the caller. The
sender's leg ends when the target has answered, or earlier if the sender hangs up. If the transfer
fails after the sender has hung up, we ring the sender again: this is the recall. This module also
handles a REFER with Replaces in its Refer-To, which asks for an attended transfer. `join.py`
describes how an attended transfer makes one call of two calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from telephony.b2bua.alignment import Alignment
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
from telephony.b2bua.referral import PendingRefer, notify_request, refer_to
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.session_timer import agree_to_response
from telephony.b2bua.settings import Target
from telephony.errors import NoPortsError, ParseError, ProtocolError
from telephony.sdp import Direction
from telephony.sip.events import InviteAnswered, InviteProgress
from telephony.sip.message.grammar import REASONS
from telephony.sip.message.messages import Request, Response
from telephony.sip.ua.server_request import ServerRequest

_OWNER_WAIT: Final = 5.0
"""The seconds after which a REFER without a decision of the call's owner is refused with 603."""
_LAST_NOTIFY_WAIT: Final = 4.0
"""The seconds that we wait for the response to the final NOTIFY of a completed transfer.

After that time, we send a BYE to the leg to which we sent the NOTIFY.
"""
_RECENT_FAILURE_WAIT: Final = 2.0
"""The time in seconds after a failed transfer during which a BYE does not end the call.

This applies only to a BYE from the sender of the REFER. Some phones hang up automatically when they
receive the NOTIFY about the failure (baresip 1.1 does so 10 ms later). The users of these phones do
not intend to end the caller's call.
"""


@dataclass(frozen=True, slots=True)
class RecentFailure:
    """A transfer that has just failed.

    The phone of the REFER's sender may still hang up automatically because of the failure.
    """

    leg: Leg
    until: float
    """The time until which a BYE of the REFER's sender does not end the caller's call.

    The value is infinite until the sender's phone has sent its response to the NOTIFY about the
    failure.
    """
    failed: TransferFailed


class ReferTransfers:
    """The transfers of one call, one at a time.

    This class is the `AttemptListener` of each attempt to ring the target of a transfer. The class
    is large because the steps of a transfer can happen in any sequence, and each step depends on
    the other steps. The steps are REFER, ringing, NOTIFY, BYE, and ringing the sender of the REFER
    again after a failure.
    """

    def __init__(
        self, core: CallCore, alignment: Alignment, refresh: Refresh, request: Request
    ) -> None:
        """Create the object.

        `request` is the caller's INVITE. The INVITE to a transfer's target is made from it.
        """
        self._core = core
        self._alignment = alignment
        self._refresh = refresh
        self._request = request
        self.max_forwards = 70
        self._serial = 0
        self._referral: PendingRefer | None = None
        self._attempt: Attempt | None = None
        self._recalling = False
        """True during a recall: after a failed transfer, we ring the sender of the REFER."""
        self._recall_at: float | None = None
        """The time at which we ring `_recall_target` again; None if this is not planned.

        Before this time, the call's owner may call `ring_again` to ring other targets instead.
        """
        self._recall_target: Target | None = None
        self._last_notify: tuple[Leg, float] | None = None
        """The leg to which we sent the final NOTIFY, and the time at which we send it a BYE.

        If the response to the NOTIFY arrives before that time, we send the BYE immediately. The
        value is None if we do not wait for such a response.
        """
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

        The callee that is joined with the caller may send any REFER. The caller may only ask to
        join this call with another call, by a REFER with Replaces. The Replaces must name the
        joined callee of the other call. This callee must be at the same host as the caller.
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
        """Refuse the REFER `request_id` with a failure status.

        Do nothing if this REFER no longer waits for a decision. `request_id` is the number in
        `TransferRequested`.
        """
        referral = self._referral
        if referral is not None and referral.request_id == request_id and not referral.accepted:
            self._referral = None
            referral.answer(status, now)

    def accept(self, request_id: int, targets: Sequence[Target], now: float) -> bool:
        """Answer the REFER `request_id` with 202, ring the targets, and return True.

        If the REFER no longer waits for a decision, do nothing and return False. If the sender of
        the REFER is not the callee that is joined with the caller, refuse the REFER with 603 and
        return False. Do the same if the Replaces in the REFER identifies no other call of the
        sender.
        """
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
        """Begin a blind transfer of the caller to the targets, without a REFER; return True.

        All steps are those of a REFER from the joined callee, but there is no NOTIFY. If no callee
        is joined, or another transfer is in progress, do nothing and return False.
        """
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
        """The leg whose REFER is being handled; None if no REFER is being handled.

        A REFER is handled while it waits for a decision and while its transfer is in progress.
        """
        return None if self._referral is None else self._referral.leg

    def leg_in_other_call(self, request_id: int) -> Leg | None:
        """Return the leg that the sender of the REFER `request_id` has in another call.

        The Replaces of the REFER names this leg. Return None if the REFER has no Replaces, or if
        its Replaces names no such leg.
        """
        referral = self._referral
        if referral is None or referral.request_id != request_id or referral.replaces is None:
            return None
        return leg_named_by_replaces(self._core.endpoint, referral.leg, referral.replaces)

    def complete_join(self, request_id: int, plan: JoinPlan, now: float) -> None:
        """Tell the sender of the REFER `request_id` that two calls are joined, and end its legs.

        `plan` has the sender's leg in each of the two calls. The leg on which the REFER arrived
        gets the final NOTIFY, and later a BYE. The sender's leg in the other call gets a BYE
        immediately.
        """
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
        """Report to the call's owner and to the REFER's sender that a target rings."""
        referral = self._referral
        if referral is None or self._recalling:
            return
        status = event.response.status
        if referral.last_ringing_leg is not leg:
            referral.last_ringing_leg = leg
            self._core.emit(TransferProgress(referral.request_id, leg.id, status))
            self._notify(f"{status} {self._phrase(event.response, leg, referral)}", now)

    def on_answer(self, leg: Leg, event: InviteAnswered, now: float) -> int:
        """Join the caller with the target that answered.

        Return 0 if they are joined. Otherwise return a failure status, because the target's SDP
        answer is missing or cannot be used.
        """
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
        timer = agree_to_response(event.response, core.settings, leg.min_se, now)
        self._refresh.start(leg, timer)
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
        """Send the final NOTIFY to the sender of the REFER, and a BYE when it has responded.

        If no response comes, the BYE is sent after `_LAST_NOTIFY_WAIT` seconds. If the sender hangs
        up before our BYE, we do not send the BYE.
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
        """Handle the failure of an attempt to ring targets.

        If the targets were those of a transfer, report the failed transfer. If the sender of the
        REFER has already hung up, plan to ring the sender again. If the attempt to ring the sender
        again has failed, end the call.
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
        """Report a failed transfer, and plan to ring the sender of the REFER again.

        The sender, whose leg is `leg`, has already hung up.
        `status` is the SIP status with which the transfer failed.
        """
        self._core.emit(TransferFailed(request_id, status, transferor_gone=True))
        self._recall_target = leg.target
        self._recall_at = now

    # --- the REFER's sender hangs up; it is rung again if the transfer fails ------------------

    def on_leg_left(self, leg: Leg, now: float) -> bool:
        """Handle a leg whose peer has hung up; return whether the hang-up is a step of a transfer.

        If it is a step of a transfer, the call continues without this leg. If not, and if this leg
        was joined with the caller, the code that uses this method must end the call.
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
        """Ring `targets`, after a transfer has failed and the sender of the REFER has hung up.

        After such a failure, we plan to ring the sender of the REFER again. This method rings
        `targets` instead. If we do not plan to ring the sender, this method does nothing.
        """
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
        """Continue after a restart of the process, with the saved state `before`.

        A transfer that was in progress before the restart counts as failed. If the caller is not
        joined with a leg, we ring the target in `before.recall`.

        Raises:
            ProtocolError: The caller is not joined with a leg, and `before.recall` is None.
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
        if self._attempt is not None and self._attempt.deadline is not None:
            due.append(self._attempt.deadline)
        return min(due, default=None)

    def timer(self, now: float) -> None:
        """Do all steps whose time has come.

        The possible steps are: ring the sender of a REFER again after its transfer has failed; send
        a BYE if the final NOTIFY has no response; refuse a REFER if the call's owner has not
        decided in time; end the ringing of targets.
        """
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
