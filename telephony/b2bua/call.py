"""`BackToBackCall`: the public interface of one call. Its components make the decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from telephony.b2bua.attempt import Attempt, FindTargets
from telephony.b2bua.bodies import wants_ipv6
from telephony.b2bua.checkpoint import CallCheckpoint, invite_of, restore
from telephony.b2bua.core import CallCore, EndCause, EndedCall, answer, decline, handle_late
from telephony.b2bua.events import CallEnded, CallEvent, Side
from telephony.b2bua.exchange import Exchange
from telephony.b2bua.in_dialog import InDialogRequests
from telephony.b2bua.join import CalleeReplacement, JoinPlan, plan_join
from telephony.b2bua.leg import Leg, LegOwner, LegState, OnResponse, QueuedRequest, leg_of
from telephony.b2bua.leg_media import MediaPlane
from telephony.b2bua.offers import Alignment, Offers
from telephony.b2bua.placed import CallerInvite, PlacedSetup
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.settings import CallSettings, LaterTargets, Target
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
from telephony.sip.message.messages import Request, Response
from telephony.sip.transport.address import is_ipv6
from telephony.sip.ua.uas import InviteServer


class BackToBackCall:
    """One call: the caller's leg, and callee legs of which at most one is joined with it.

    For each endpoint event of this call (see `find_call`), the owner (the application) calls
    `handle(event, now)`. After each method that changes the call, the owner calls `next_event()`
    until the result is None. Then the owner sends the endpoint's `outgoing()`. Late events, such as
    a 200 that crossed our CANCEL, go to `handle` even after `CallEnded`; `find_call` still finds
    the call.
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
        """Create a call from a caller's INVITE. If the INVITE is refused, emit `CallEnded`.

        The status of a refusal is 482 (loop), 483 (Max-Forwards), 406 (Accept), 481 or 603
        (Replaces), 400 or 415 (the body cannot be read), 488 (no usable media), 422 (session
        interval) or 503 (no ports).
        """
        call = cls(endpoint, media, settings, call_id, invite.request)
        call._begin(Setup(call._core, invite), invite, now)
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
        """Continue a call of an earlier process from its saved state.

        It emits `MediaNegotiated` for each leg, and `TransferFailed` if a transfer was in progress
        or the caller is not joined with a callee. After an error, no leg stays open, and the owner
        can try `bye_from_checkpoint`.

        Raises:
            ProtocolError: `checkpoint` is not a checkpoint, the call was not answered before the
                restart, or a dialog used a local address that we no longer have.
            NoPortsError: The ports that a leg had before are not available.
        """
        before = CallCheckpoint.from_values(checkpoint)
        call = cls(endpoint, media, settings, before.call_id, invite_of(before))
        restore(call._core, call._alignment, before, now, resume=call._transfers.resume)
        return call

    @classmethod
    def placed(
        cls,
        endpoint: Endpoint,
        media: MediaPlane,
        caller: CallerInvite,
        request: Request,
        settings: CallSettings,
        *,
        call_id: str,
        now: float,
    ) -> BackToBackCall:
        """Place a call for a caller: ring the caller's phone first.

        `request` is the INVITE that the caller would have sent to call the targets. After the
        caller's answer, the call emits `CallerReached`, and its owner calls `dial`. If the caller
        cannot be rung, the call emits `CallEnded`.
        """
        call = cls(endpoint, media, settings, call_id, request)
        core, target = call._core, caller.target
        call._placed = PlacedSetup(core, call._alignment, request)
        try:
            core.new_leg(Side.CALLER, None, ipv6=is_ipv6(target.destination.host))
        except NoPortsError:
            core.end(EndCause.NO_PORTS, now, status=503)
        else:
            call._placed.ring_caller(caller, now)
        return call

    def __init__(
        self,
        endpoint: Endpoint,
        media: MediaPlane,
        settings: CallSettings,
        call_id: str,
        request: Request,
    ) -> None:
        """Create the call's components; use `incoming`, `placed` or `restored` to create a call."""
        self.call_id = call_id
        self._core = core = CallCore(self, endpoint, media, settings, call_id)
        offers = Offers(core)
        self._refresh = Refresh(core, offers)
        self._alignment = Alignment(core, offers)
        self._exchange = Exchange(core, offers, self._alignment)
        core.on_leg_ended = self._on_leg_ended
        self._transfers = ReferTransfers(core, self._alignment, request)
        self._in_dialog = InDialogRequests(core, self._exchange, self._refresh, self._transfers)
        self._setup: Setup | None = None
        """None in a restored call, whose setup ended before the restart."""
        self._placed: PlacedSetup | None = None
        """The setup of a call that we place; None in any other call, and in a restored call."""
        self._invite: InviteServer | None = None
        self._saved: CallCheckpoint | None = None
        """The most recent checkpoint, whose JSON is in `_saved_json`; None before the first one."""
        self._saved_json = msgspec.Raw()

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
        leg.min_se = self._core.settings.session.least
        invite.owner = leg
        self._core.learn_from_invite(leg, invite.request)
        status = setup.check(now)
        self._transfers.max_forwards = setup.max_forwards
        if status:
            setup.refuse(status, now, EndCause.REFUSED)

    # --- the state of the call ----------------------------------------------------------------

    @property
    def core(self) -> CallCore:
        """The state that the components of the call share. Only this package may use it."""
        return self._core

    @property
    def legs(self) -> Mapping[str, Leg]:
        """All legs of the call by leg id, including those that have ended (`state` ENDED)."""
        return MappingProxyType(self._core.legs)

    @property
    def joined(self) -> tuple[str, str] | None:
        """The leg ids of the caller and of the joined callee; None if no callee is joined."""
        callee = self._core.callee
        return None if callee is None or self.ended else (self._core.caller.id, callee.id)

    @property
    def holding(self) -> frozenset[Side]:
        """The joined sides whose peers hold the call. The owner's hold counts as the callee's."""
        callee = self._core.callee
        if callee is None or self.ended:
            return frozenset()
        own = frozenset({callee.side} if self._core.owner_holds else ())
        return own | {leg.side for leg in (self._core.caller, callee) if leg.media.holds_other}

    @property
    def held_by_owner(self) -> bool:
        """True while the call's owner holds the call (see `hold`)."""
        return self._core.owner_holds and self._core.callee is not None

    @property
    def answered(self) -> bool:
        """True from the first answer of a target until `CallEnded`."""
        if self._placed is not None and not self._placed.answered:
            return False
        return bool(self._core.legs) and self._core.caller.dialog is not None

    @property
    def ended(self) -> bool:
        """True once `CallEnded` was emitted. All legs of the call have then ended."""
        return self._core.ended

    @property
    def transferring(self) -> bool:
        """True while the targets of a transfer or of a recall are rung."""
        attempt = self._transfers.attempt
        return attempt is not None and not attempt.over

    def next_event(self) -> CallEvent | None:
        """Remove and return the oldest event; None if there is none.

        When it returns `CallEnded`, the call drops its references, so that memory is freed.
        """
        event = self._core.events.popleft() if self._core.events else None
        if isinstance(event, CallEnded):
            self._release()
        return event

    def _release(self) -> None:
        """Break the circles of references between components and legs.

        Otherwise, only the garbage collector could free them, and it delays the media of other
        calls.
        """
        self._saved = None
        self._core.release(EndedCall(self.call_id))
        self._transfers.release()
        for setup in (self._setup, self._placed):
            if setup is not None:
                setup.attempt = None

    # --- methods for the call's owner ---------------------------------------------------------

    def follow_redirects(self, find_targets: FindTargets) -> None:
        """Allow a target that we ring to redirect the call with a 3xx; call this before `dial`.

        `find_targets` gets one Contact and the time, and returns the targets to ring instead. If
        no Contact leads to a target, the 3xx is a failure. In a placed call, and for the target of
        a transfer, a 3xx is always a failure.
        """
        if self._setup is not None:
            self._setup.find_targets = find_targets

    def dial(
        self, targets: Sequence[Target], now: float, later: LaterTargets | None = None
    ) -> None:
        """Ring one target, or several at once, and those in `later` if none answers in time.

        If too few ports are free, the call ends, and a caller whose INVITE is unanswered gets 503.
        Raises `ProtocolError` if called a second time, without targets, or in a restored call.
        """
        if self.ended:
            return
        setup = self._placed or self._setup
        if setup is None or setup.attempt is not None or not targets:
            raise ProtocolError("the call was already dialled, or there are no targets")
        setup.dial(targets, now, later)

    def reject(self, status: int, now: float, reason: str | None = None) -> None:
        """End the call: refuse the caller's INVITE, or hang up if it is answered or absent."""
        if self.ended:
            return
        if self._setup is None or self.answered:
            self.hangup(now)
        else:
            self._setup.refuse(status, now, EndCause.REFUSED, reason=reason)

    def hangup(self, now: float, reason: str | None = None) -> None:
        """End the call and all its legs; `reason` is the value of the Reason header field."""
        headers = (("Reason", reason),) if reason is not None else ()
        self._core.end(EndCause.HUNG_UP, now, headers)

    def hang_up_callee(self, now: float) -> None:
        """Hang up for the joined callee, if there is one, as if its phone had sent a BYE.

        The call ends, unless a transfer is in progress: the caller then waits for another party.
        """
        callee = self._core.callee
        if callee is None:
            return
        if self._transfers.on_leg_left(callee, now):
            self._core.end_leg(callee, EndCause.TRANSFERRED, now)
        else:
            self._core.end(EndCause.CALLEE_HUNG_UP, now)

    @property
    def answerable(self) -> tuple[Leg, ...]:
        """The ringing legs whose phones can be asked to answer (see `ask_to_answer`)."""
        legs = () if self.ended else tuple(self._core.legs.values())
        return tuple(leg for leg in legs if leg.state is LegState.RINGING and leg.ringing_dialog)

    def ask_to_answer(self, leg: Leg, then: OnResponse, now: float) -> bool:
        """Ask a ringing phone to answer, by a NOTIFY of the event "talk" in its early dialog.

        Phones of several makers answer if they list the event in Allow-Events. `then` gets the
        result (`OnResponse`). Return False, without a call of `then`, if the phone cannot be asked.
        """
        dialog = leg.ringing_dialog
        if leg not in self.answerable or dialog is None:
            return False
        headers = (("Event", "talk"), ("Subscription-State", "active"))
        try:
            client = dialog.request("NOTIFY", headers=headers, now=now)
        except ProtocolError:
            return False  # the phone has ended its early dialog
        leg.requests.expect(client, then)
        return True

    def hold(self, now: float) -> None:
        """Put the caller on hold by offers with direction inactive; do nothing without a callee.

        No media passes from now on, whatever the phones answer. The hold ends at `resume`, when the
        callee is replaced or leaves, or when the callee's phone ends a hold of its own.
        """
        self._set_hold(now, held=True)

    def resume(self, now: float) -> None:
        """End a hold that `hold` began."""
        self._set_hold(now, held=False)

    def _set_hold(self, now: float, *, held: bool) -> None:
        callee = self._core.callee
        if callee is None or held == self._core.owner_holds:
            return
        self._core.set_owner_hold(held=held)
        self._alignment.align_both(self._core.caller, callee, now)

    def transfer(self, targets: Sequence[Target], now: float) -> bool:
        """Transfer the caller to one of the targets, as if the callee had sent a REFER.

        There is no `TransferRequested`. Return False without a callee or targets, or during a
        transfer.
        """
        return not self.ended and bool(targets) and self._transfers.begin(targets, now)

    def accept_transfer(self, request_id: int, targets: Sequence[Target], now: float) -> bool:
        """Accept a REFER with 202, and ring the targets with the caller's media.

        Return False if the REFER is not accepted. It is refused with 603 if its sender is not the
        joined callee, or if its Replaces identifies no other call of the sender. No response is
        sent if the REFER no longer waits, `targets` is empty, or the call has ended.
        """
        return not self.ended and bool(targets) and self._transfers.accept(request_id, targets, now)

    def call_named_by_replaces(self, request_id: int) -> LegOwner | None:
        """Return the other call of an attended transfer, which the REFER's Replaces names.

        Return None if the REFER is no longer in progress, or Replaces names no dialog of another
        call. Return None also if the peer in that dialog is not at the host of the REFER's sender.
        """
        named = self._transfers.leg_in_other_call(request_id)
        return None if named is None else named.call

    def join_plan(self, request_id: int) -> JoinPlan | None:
        """Return a plan for joining this call with `call_named_by_replaces`; None if impossible."""
        leg, named = self._transfers.transferor, self._transfers.leg_in_other_call(request_id)
        return None if leg is None or named is None else plan_join(leg, named)

    def join(self, request_id: int, plan: JoinPlan, target: Target, now: float) -> None:
        """Answer the REFER with 202 and join the two calls of an attended transfer.

        The sender of the REFER leaves both calls. The call of `plan.kept_leg` emits `Joined`. The
        call of `plan.ending_leg` emits `CallEnded`. The owner must read the events of both calls.
        `target` is the party on `plan.moved_leg`.
        """
        plan.ending_leg.call.core.remove_moved_leg(plan.moved_leg)
        plan.kept_leg.call.add_moved_leg(plan.moved_leg, target, now)
        self._transfers.complete_join(request_id, plan, now)

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Add a leg of another call and join it with the caller's leg; `target` is its party."""
        self._core.add_moved_leg(leg, target)
        self._alignment.align_both(self._core.caller, leg, now)

    def replace_callee(self, old: Leg, invite: InviteServer, target: Target, now: float) -> None:
        """Replace the joined callee by the party that sent an INVITE with Replaces (RFC 3891).

        `old` is from `leg_to_replace`, `target` the new party. `invite` always gets a final
        response. After a 200, the call emits `Joined`, and the peer of `old` gets a BYE.
        """
        if self.ended or old is not self._core.callee:
            answer(invite, 481, now)
        elif self.transferring:
            answer(invite, 500, now, headers=(("Retry-After", "5"),))
        else:
            replacement = CalleeReplacement(self._core, self._alignment)
            replacement.accept(old, invite, target, now)

    def refuse_transfer(self, request_id: int, status: int, now: float) -> None:
        """Refuse the REFER of a transfer with a failure status. The call does not change."""
        self._transfers.refuse(request_id, status, now)

    def answer_record(
        self, request_id: int, status: int, now: float, reason: str | None = None
    ) -> None:
        """Respond to an INFO that `RecordRequested` reported, if it has no response yet."""
        self._in_dialog.answer_record(request_id, status, reason, now)

    def ring_again(self, targets: Sequence[Target], now: float) -> None:
        """Ring these targets after a failed transfer, for at most `recall_timeout` seconds.

        Call this after `TransferFailed` with `transferor_gone`, before the next `handle_timer`. If
        this is not called, `handle_timer` rings the callee that sent the REFER.
        """
        if not self.ended and targets:
            self._transfers.ring_again(targets, now)

    def checkpoint(self) -> msgspec.Raw:
        """Return the state for `restored` and `bye_from_checkpoint`, as a JSON object.

        If nothing has changed since the previous checkpoint, return the same object again.
        """
        now = CallCheckpoint.of(self._core, self._transfers.checkpoint())
        if now != self._saved:
            self._saved, self._saved_json = now, msgspec.Raw(now.to_json())
        return self._saved_json

    # --- events of the endpoint ---------------------------------------------------------------

    def handle(self, event: SipEvent, now: float) -> None:
        """Handle an endpoint event of this call; no message of a peer makes this raise an error."""
        leg = leg_of(event)
        if leg is None:
            return
        if self.ended and leg.call.call_id == self.call_id:
            handle_late(event, now)
            return
        if leg.call is not self:
            return
        try:
            self._dispatch(event, leg, now)
        except ProtocolError:
            # This is a bug in our code. End the call, so that no party stays in a call that the
            # owner no longer manages.
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
        if self._placed is not None and leg is self._core.caller:
            self._placed.caller_event(event, now)
            return
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
        setup = self._placed or self._setup
        return None if setup is None else setup.attempt

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

    def ask_parties(self, answered: Callable[[], None], now: float) -> None:
        """Send OPTIONS on each answered leg (RFC 3261 11.1); call `answered` for each response."""

        def then(response: Response | None, _status: int, _now: float) -> None:
            if response is not None:
                answered()

        for leg in list(self._core.legs.values()):
            leg.requests.add(QueuedRequest("OPTIONS", (), b"", then), now)

    # --- timers -------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return the time at which `handle_timer` must be called next; None if no timer runs."""
        if self.ended:
            return None
        attempt = self._first_attempt
        due = [
            attempt.next_timer if attempt is not None else None,
            self._placed.next_timer() if self._placed is not None else None,
            self._refresh.next_timer(),
            self._exchange.next_timer(),
            self._alignment.next_timer(),
            self._transfers.next_timer(),
        ]
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due: for example, stop ringing, refresh a session or send an offer again."""
        if self.ended:
            return
        try:
            if self._placed is not None:
                self._placed.timer(now)
            elif self._first_attempt is not None:
                self._first_attempt.timer(now)
            self._refresh.timer(now)
            self._exchange.timer(now)
            self._alignment.timer(now)
            self._transfers.timer(now)
        except ProtocolError:
            self._core.end(EndCause.FAULT, now)


_CALLS = (BackToBackCall, EndedCall)


def find_call(event: SipEvent) -> BackToBackCall | EndedCall | None:
    """Return the call of an endpoint event, even if it has ended; None if there is none."""
    leg = leg_of(event)
    call = leg.call if leg is not None else None
    return call if isinstance(call, _CALLS) else None
