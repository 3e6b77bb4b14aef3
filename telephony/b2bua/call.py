"""`BackToBackCall`: the public interface of one call; it hands events to the call's parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from telephony.b2bua.alignment import Alignment
from telephony.b2bua.attempt import Attempt, decline
from telephony.b2bua.bodies import wants_ipv6
from telephony.b2bua.checkpoint import CallCheckpoint
from telephony.b2bua.core import CallCore, EndCause, answer
from telephony.b2bua.event_leg import leg_of
from telephony.b2bua.events import CallEvent, Side
from telephony.b2bua.exchange import Exchange
from telephony.b2bua.in_dialog import InDialogRequests
from telephony.b2bua.join import JoinPlan, plan_join
from telephony.b2bua.leg import Leg, LegOwner
from telephony.b2bua.media_plane import MediaPlane
from telephony.b2bua.offers import Offers
from telephony.b2bua.redirection import FindTargets
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.replacement import CalleeReplacement
from telephony.b2bua.restore import invite_of, restore
from telephony.b2bua.settings import CallSettings, Target
from telephony.b2bua.setup import Setup
from telephony.b2bua.transfer import ReferTransfers
from telephony.errors import NoPortsError, ProtocolError
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PrackMissing,
    SipEvent,
)
from telephony.sip.message.messages import Request
from telephony.sip.ua.uas import InviteServer


class BackToBackCall:
    """One call: the caller's leg and any number of callee legs.

    At most one callee leg is joined with the caller's leg. The owner of the call is the application
    that uses this class. For each endpoint event of this call (`find_call`), the owner calls
    `handle(event, now)`. Then it calls `next_event()` until that returns None, and then it flushes
    the endpoint. It does the same after `handle_timer` and after every other method.

    After `CallEnded`, late endpoint events can still come, for example a 200 that crossed our
    CANCEL. The owner must also pass them to `handle`. The owner may delete its own reference to the
    call, because `find_call` finds the call through the event.

    This class is large because it holds every method that an owner needs. Its components make the
    decisions.
    """

    @classmethod
    def incoming(
        cls,
        endpoint: Endpoint,
        media: MediaPlane,
        invite: InviteServer,
        settings: CallSettings,
        *,
        call_id: str,
        now: float,
    ) -> BackToBackCall:
        """Create a call from a caller's INVITE; refuse the INVITE if it is not acceptable.

        It is refused with 482 (loop), 483 (Max-Forwards), 406 (Accept), 481 or 603 (Replaces), 400,
        415 or 488 (its body or no common codec), 422 (session interval) or 503 (no ports).
        `CallEnded` is then the next event.
        """
        call = cls(endpoint, media, settings, call_id, invite.request)
        call._begin(Setup(call._core, call._refresh, invite), invite, now)
        return call

    @classmethod
    def restored(
        cls,
        endpoint: Endpoint,
        media: MediaPlane,
        checkpoint: Mapping[str, Any],
        settings: CallSettings,
        *,
        now: float,
    ) -> BackToBackCall:
        """Continue a call of an earlier process from its `checkpoint()`.

        The restored call emits `MediaNegotiated` for each leg, and `TransferFailed` if a transfer
        was in progress. If `TransferFailed` has `transferor_gone`, the owner must call
        `ring_again`, as in any other call.

        Raises:
            ProtocolError: The values are not a checkpoint, the call had not been answered, or we no
                longer have the local address of a dialog. Nothing stays open, and
                `bye_from_checkpoint` can still be tried.
            NoPortsError: The ports that a leg had before are not available. Nothing stays open in
                this case either.
        """
        before = CallCheckpoint.from_values(checkpoint)
        call = cls(endpoint, media, settings, before.call_id, invite_of(before))
        restore(call._core, call._transfers, call._alignment, before, now)
        return call

    def __init__(
        self,
        endpoint: Endpoint,
        media: MediaPlane,
        settings: CallSettings,
        call_id: str,
        request: Request,
    ) -> None:
        """Create the call's components; use `incoming` or `restored` to create a call."""
        self.call_id = call_id
        self._core = core = CallCore(self, endpoint, media, settings, call_id)
        offers = Offers(core)
        self._refresh = Refresh(core, offers)
        offers.start_timer = self._refresh.start
        self._alignment = Alignment(core, offers)
        self._exchange = Exchange(core, offers, self._refresh, self._alignment)
        core.on_leg_ended = self._on_leg_ended
        self._transfers = ReferTransfers(core, self._alignment, self._refresh, request)
        self._replacement = CalleeReplacement(core, self._refresh, self._alignment)
        self._in_dialog = InDialogRequests(core, self._exchange, self._refresh, self._transfers)
        self._setup: Setup | None = None
        """The setup of the call; None in a restored call, whose setup ended before the restart."""
        self._invite: InviteServer | None = None

    def _on_leg_ended(self, leg: Leg) -> None:
        self._exchange.on_leg_ended(leg)
        self._alignment.on_leg_ended(leg)

    def _begin(self, setup: Setup, invite: InviteServer, now: float) -> None:
        self._setup, self._invite = setup, invite
        try:
            ipv6 = wants_ipv6(invite.request, invite.source)
            leg = self._core.new_leg(Side.CALLER, None, ipv6=ipv6)
        except NoPortsError:
            setup.refuse(503, now, EndCause.NO_PORTS, headers=(("Retry-After", "10"),))
            return
        leg.server_invite = invite
        leg.min_se = self._core.settings.min_se
        invite.owner = leg
        self._core.learn_from_invite(leg, invite.request)
        status = setup.check(now)
        self._transfers.max_forwards = setup.max_forwards
        if status:
            setup.refuse(status, now, EndCause.REFUSED)

    # --- the state of the call ----------------------------------------------------------------

    @property
    def core(self) -> CallCore:
        """The state that the components of the call share; only for modules of this package."""
        return self._core

    @property
    def legs(self) -> Mapping[str, Leg]:
        """All legs of the call by leg id, including legs that have ended (`state` ENDED)."""
        return MappingProxyType(self._core.legs)

    @property
    def joined(self) -> tuple[str, str] | None:
        """The leg ids of the caller and of the joined callee; None if no callee is joined."""
        callee = self._core.callee
        return None if callee is None or self.ended else (self._core.caller.id, callee.id)

    @property
    def answered(self) -> bool:
        """True once the caller's INVITE was answered with a 2xx."""
        return bool(self._core.legs) and self._core.caller.dialog is not None

    @property
    def ended(self) -> bool:
        """True once `CallEnded` was emitted; all legs have ended then."""
        return self._core.ended

    @property
    def transferring(self) -> bool:
        """True while a transfer's target rings, or a callee rings again after a failed one."""
        attempt = self._transfers.attempt
        return attempt is not None and not attempt.over

    def next_event(self) -> CallEvent | None:
        """Remove the oldest event from the queue and return it; None if the queue is empty."""
        return self._core.events.popleft() if self._core.events else None

    # --- methods for the call's owner ---------------------------------------------------------

    def follow_redirects(self, find_targets: FindTargets) -> None:
        """Let a rung target redirect the call with a 3xx response.

        `find_targets` receives an address from the 3xx and returns the targets to ring next. If it
        returns no target, the redirecting target has failed. The same is true if this method was
        not called before `dial`.
        """
        if self._setup is not None:
            self._setup.find_targets = find_targets

    def dial(self, targets: Sequence[Target], now: float) -> None:
        """Ring one target, or several at the same time.

        If there are too few free ports, the call answers 503 and ends.

        Raises:
            ProtocolError: The call was dialled before, or `targets` is empty.
        """
        if self.ended:
            return
        if self._setup is None or self._setup.attempt is not None or not targets:
            raise ProtocolError("a call is dialled once, and to somebody")
        self._setup.dial(targets, now)

    def reject(self, status: int, now: float, reason: str | None = None) -> None:
        """Answer the caller's INVITE with a failure status and end the call.

        If the INVITE was answered with a 2xx before, hang up as `hangup` does.
        """
        if self.ended:
            return
        if self._setup is None or self.answered:
            self.hangup(now)
        else:
            self._setup.refuse(status, now, EndCause.REFUSED, reason=reason)

    def hangup(self, now: float, reason: str | None = None) -> None:
        """End the call and all its legs; `reason` is the value of the Reason header to send."""
        headers = (("Reason", reason),) if reason is not None else ()
        self._core.end(EndCause.HUNG_UP, now, headers)

    def accept_transfer(self, request_id: int, targets: Sequence[Target], now: float) -> bool:
        """Answer a REFER with 202 and ring the transfer's targets with the caller's media.

        `request_id` is the one from `TransferRequested`.

        Returns:
            False if the REFER no longer waits for a decision, if this method has refused it with
                603, if `targets` is empty, or if the call has ended.
        """
        return not self.ended and bool(targets) and self._transfers.accept(request_id, targets, now)

    def call_named_by_replaces(self, request_id: int) -> LegOwner | None:
        """Return the second call that an attended transfer names, or None if there is none.

        The Replaces in the REFER names a dialog in another call. The call is returned only if that
        dialog's peer is at the same host as the sender of the REFER.
        """
        named = self._transfers.leg_in_other_call(request_id)
        return None if named is None else named.call

    def join_plan(self, request_id: int) -> JoinPlan | None:
        """Return how this call can be joined with the call from `call_named_by_replaces`.

        None means that the two calls cannot be joined, or not yet.
        """
        leg, named = self._transfers.transferor, self._transfers.leg_in_other_call(request_id)
        return None if leg is None or named is None else plan_join(leg, named)

    def join(self, request_id: int, plan: JoinPlan, target: Target, now: float) -> None:
        """Answer the REFER with 202 and join the two calls of an attended transfer.

        The party that sent the REFER leaves both calls. The call that continues emits `Joined`, and
        the second call emits `CallEnded`, so take the events of both calls. `target` describes the
        party whose leg moves to the call that continues, as far as the owner knows this party.
        """
        plan.ending_leg.call.core.remove_moved_leg(plan.moved_leg)
        plan.kept_leg.call.add_moved_leg(plan.moved_leg, target, now)
        self._transfers.complete_join(request_id, plan, now)

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Add a leg of another call to this call and join it with the caller."""
        self._core.add_moved_leg(leg, target)
        self._alignment.align_both(self._core.caller, leg, now)

    def replace_callee(self, old: Leg, invite: InviteServer, target: Target, now: float) -> None:
        """Replace the joined callee by the party that sent an INVITE with Replaces (RFC 3891).

        `leg_to_replace` returns the `old` leg. `target` describes the new party, as far as the
        owner knows it. The INVITE is always answered. If the answer is 200, `Joined` is emitted and
        the old leg gets a BYE.
        """
        if self.ended or old is not self._core.callee:
            answer(invite, 481, now)
        elif self.transferring:
            answer(invite, 500, now, headers=(("Retry-After", "5"),))
        else:
            self._replacement.accept(old, invite, target, now)

    def refuse_transfer(self, request_id: int, status: int, now: float) -> None:
        """Answer the REFER of a transfer with a failure status; the call does not change."""
        self._transfers.refuse(request_id, status, now)

    def answer_record(
        self, request_id: int, status: int, now: float, reason: str | None = None
    ) -> None:
        """Answer the INFO that `RecordRequested` reported; a second answer changes nothing."""
        self._in_dialog.answer_record(request_id, status, reason, now)

    def ring_again(self, targets: Sequence[Target], now: float) -> None:
        """Ring these targets for `recall_timeout` seconds after a failed transfer.

        Call this method after `TransferFailed` with `transferor_gone`, before the next
        `handle_timer`. Otherwise `handle_timer` rings the callee that sent the REFER.
        """
        if not self.ended and targets:
            self._transfers.ring_again(targets, now)

    def checkpoint(self) -> dict[str, Any]:
        """Return the state that `restored` and `bye_from_checkpoint` need, as plain values."""
        return CallCheckpoint.of(self._core, self._transfers.checkpoint()).to_values()

    # --- events of the endpoint ---------------------------------------------------------------

    def handle(self, event: SipEvent, now: float) -> None:
        """Handle an endpoint event of this call.

        No message of a peer makes this method raise an error.
        """
        leg = leg_of(event)
        if leg is None or leg.call is not self:
            return
        try:
            self._dispatch(event, leg, now)
        except ProtocolError:
            # After an error of our own the call ends; otherwise a party could stay in a call that
            # the owner no longer manages.
            self._core.end(EndCause.FAULT, now)

    def _dispatch(self, event: SipEvent, leg: Leg, now: float) -> None:
        match event:
            case InviteProgress() | InviteAnswered() | InviteFailed():
                self._branch(event, leg, now)
            case InviteCancelled():
                self._cancelled(event, now)
            case AckReceived() if leg.alive:
                self._acknowledged(event, leg, now)
            case PrackMissing(invite) if invite is self._invite:
                self._core.end(EndCause.ACK_MISSING, now, status=504)
            case AckMissing() if leg.alive:
                self._core.end(EndCause.ACK_MISSING, now)
            case DialogRequest(_, transaction, request):
                self._in_dialog.request(leg, transaction, request, now)
            case DialogResponse(_, client, response) if response.status >= 200:
                leg.requests.on_final_response(client, response, response.status, now)
            case DialogRequestFailed(_, client, status):
                leg.requests.on_final_response(client, None, status, now)
            case DialogEnded(dialog) if leg.alive and dialog is leg.dialog:
                self._in_dialog.on_dialog_ended(leg, EndCause.PEER_GONE, now)
            case _:
                pass

    def _branch(
        self, event: InviteProgress | InviteAnswered | InviteFailed, leg: Leg, now: float
    ) -> None:
        attempt = self._attempt_of(leg)
        if attempt is None:
            if isinstance(event, InviteAnswered):
                decline(event, now)
        elif isinstance(event, InviteProgress):
            attempt.progress(leg, event, now)
        elif isinstance(event, InviteAnswered):
            attempt.answered(leg, event, now)
        else:
            attempt.failed(leg, event, now)

    def _attempt_of(self, leg: Leg) -> Attempt | None:
        for attempt in (self._first_attempt, self._transfers.attempt):
            if attempt is not None and leg in attempt.branches:
                return attempt
        return None

    @property
    def _first_attempt(self) -> Attempt | None:
        return None if self._setup is None else self._setup.attempt

    def _cancelled(self, event: InviteCancelled, now: float) -> None:
        if event.invite is not self._invite:
            self._exchange.cancelled(event.invite, now)
            return
        reasons = tuple(("Reason", value) for value in event.request.headers.get_all("Reason"))
        self._core.end(EndCause.CANCELLED, now, reasons)

    def _acknowledged(self, event: AckReceived, leg: Leg, now: float) -> None:
        setup = self._setup
        if setup is not None and leg is self._core.caller and setup.awaiting_ack is not None:
            setup.acknowledged(event.request, now)
        else:
            self._exchange.acknowledged(leg, event.request, now)

    # --- timers -------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return the time at which `handle_timer` must be called next; None if nothing is due."""
        if self.ended:
            return None
        attempt = self._first_attempt
        due = [
            attempt.deadline if attempt is not None else None,
            self._refresh.next_timer(),
            self._exchange.next_timer(),
            self._alignment.next_timer(),
            self._transfers.next_timer(),
        ]
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due now: stop ringing after its timeout, refresh sessions, repeat offers.

        If a peer no longer responds, the call ends.
        """
        if self.ended:
            return
        try:
            if self._first_attempt is not None:
                self._first_attempt.timer(now)
            self._refresh.timer(now)
            self._exchange.timer(now)
            self._alignment.timer(now)
            self._transfers.timer(now)
        except ProtocolError:
            self._core.end(EndCause.FAULT, now)


def find_call(event: SipEvent) -> BackToBackCall | None:
    """Return the call that an endpoint event belongs to.

    None means that the event belongs to no call, for example an `IncomingInvite`.
    """
    leg = leg_of(event)
    call = leg.call if leg is not None else None
    return call if isinstance(call, BackToBackCall) else None
