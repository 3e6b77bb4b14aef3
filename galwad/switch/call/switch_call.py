"""One live call: connects the call's SIP legs, its recording and the messages to the desk.

Each SIP event is handled completely when it is read, and no handler of SIP events is a coroutine.
If a REFER or a payment trigger must shut the gate, nothing else is therefore handled before the
gate is shut. Resuming and the confirmation of a pause are coroutines, which wait for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import structlog

from galwad.messages import ActState, CallEnded, CallStatus, Party, Unanswered
from galwad.settings.switch import Route
from galwad.switch.call.advisor_side import AdvisorSide
from galwad.switch.call.call_recording import TRACKS, CallRecording
from galwad.switch.call.checkpoints import (
    AnsweredState,
    CallPause,
    CallPhase,
    Checkpoint,
    RingingCall,
)
from galwad.switch.call.clocks import Now, read_clocks
from galwad.switch.call.context import CallContext, JoinState, TransferState, call_settings
from galwad.switch.call.pauses import Pauses, PaymentCodes
from galwad.switch.call.pbx import PbxJoins, held_recordings, is_lost_fork
from galwad.switch.call.transfers import CallTransfers
from galwad.switch.edge.admission import Admission
from galwad.switch.edge.callers import caller_fields, new_caller
from recording.call_id import new_call_id
from recording.policy import DestinationClass, Trigger
from telephony.aio.relay import SourceRule
from telephony.b2bua import (
    NO_GRANTS,
    BackToBackCall,
    CallerInvite,
    EndCause,
    LaterTargets,
    Leg,
    Target,
    TargetCheckpoint,
)
from telephony.b2bua import events as sip
from telephony.sdp import Srtp
from telephony.sip.events import AckReceived, Address, SipEvent
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri, escape_user
from telephony.sip.ua.uas import InviteServer

_REFUSALS = frozenset({486, 600, 603})
"""The statuses with which a party refuses a call: busy here, busy everywhere and decline."""
log = structlog.get_logger()


class SwitchCall:
    """One call from its INVITE to its end.

    After each input to the legs, `settle` must be called. It updates the other parts of the call.
    """

    def __init__(
        self,
        context: CallContext,
        admission: Admission,
        route: Route,
        legs: BackToBackCall,
        now: Now,
        *,
        consults: str = "",
    ) -> None:
        """Connect the parts of the call. Only `incoming`, `placed` and `resumed` create a call.

        `consults` is the id of the call whose advisor makes this call; "" if there is none.
        """
        self.call_id = legs.call_id
        self._context = context
        self.admission = admission
        self.caller = admission.caller
        self._callers = 1
        self._route = route
        self.legs = legs
        self.log = log.bind(call_id=self.call_id)
        self._since = now.wall
        self.started = now.wall
        self._phase = CallPhase.RINGING
        self._holding: frozenset[sip.Side] = frozenset()
        """The sides that have put the other party on hold, with a phone or on the page."""
        self.advisor_side = AdvisorSide(
            context.router, route, admission.called, is_outgoing=self._is_outgoing
        )
        self._answered_at = 0.0
        """The monotonic time of the answer in seconds; 0 before it, or if it is not known."""
        self._version = 0
        self._in_settle = self._unsent = False
        self._faulty = False
        self._saved_legs = msgspec.Raw()
        """The legs in JSON as they were at the most recent `save_checkpoint`; empty before it."""
        self._timer: asyncio.TimerHandle | None = None
        self.recording = CallRecording(
            context.spools,
            context.relay,
            self.call_id,
            admission.facts(route.line) if admission.recorded else None,
            self.publish,
        )
        self.transfer_state = TransferState()
        self.join_state = JoinState(consults)
        self._pauses: Pauses | None = None
        self._callers_pauses: Pauses | None = None
        legs.follow_redirects(context.router.divert)

    @property
    def pauses(self) -> Pauses:
        """The pauses that the advisor's phone, the page or a payment system requests."""
        if self._pauses is None:
            recordings = (self.recording,)
            side = self.advisor_side
            self._pauses = self._pauses_of(lambda: recordings, lambda: side.actor)
        return self._pauses

    @property
    def callers_pauses(self) -> Pauses:
        """The pauses that the caller requests, if the caller is an advisor.

        They apply to this call and to the calls that the advisor holds meanwhile.
        """
        if self._callers_pauses is None:
            phone, own, state = self._callers_extension, self.recording, self.join_state
            live_calls, actor = self._context.live_calls, f"phone:{self.admission.caller.from_user}"
            self._callers_pauses = self._pauses_of(
                lambda: (own, *held_recordings(phone, state, live_calls())), lambda: actor
            )
        return self._callers_pauses

    def _pauses_of(
        self, recordings: Callable[[], Sequence[CallRecording]], actor: Callable[[], str]
    ) -> Pauses:
        codes = self._context.settings.recording
        return Pauses(
            recordings,
            PaymentCodes(codes.payment_code_on or "", codes.payment_code_off or ""),
            actor=actor,
            alarm=partial(self._context.links.alarm, call_id=self.call_id),
            log=self.log,
        )

    @property
    def transfers(self) -> CallTransfers:
        """The transfers of this call."""
        point = self._context.settings.recording.point_of_transfer
        return CallTransfers(
            self,
            self._context.router,
            self._context.find,
            ceases_at_request=point == "request",
        )

    @property
    def joins(self) -> PbxJoins:
        """The joins of this call by a PBX."""
        return PbxJoins(self, self._context.router, self._context.live_calls)

    @property
    def _callers_extension(self) -> str:
        """The extension of the phone that made this call; "" if a trunk brought the call."""
        return self.admission.caller.from_user if self.admission.phone else ""

    @property
    def _is_made_by_an_advisor(self) -> bool:
        """True if one of our phones made this call, or a PBX made it to consult a colleague."""
        return self.admission.phone or bool(self.join_state.consults)

    @property
    def _is_outgoing(self) -> bool:
        """True if the caller is at one of our phones, or is an advisor whom a trusted PBX names."""
        asserted = self.caller.asserted if self.admission.trusted else ()
        return self.admission.phone or any(map(self._context.router.phones.user_of, asserted))

    def concerns(self, *, extension: str = "", user: str = "") -> bool:
        """Return whether a phone or user is at the advisor's end of the call, or is its caller."""
        if self.advisor_side.concern(extension=extension, user=user):
            return True
        phone = self._callers_extension
        return bool(phone) and (
            phone == extension or bool(user and user == self._context.router.phones.user_of(phone))
        )

    @classmethod
    def incoming(
        cls,
        context: CallContext,
        invite: InviteServer,
        admission: Admission,
        route: Route,
        now: Now,
        *,
        ringing_call: RingingCall | None = None,
        consults: str = "",
    ) -> SwitchCall:
        """Create a call for the new INVITE `invite`; `route` is the route of the called number.

        If the INVITE was refused, the returned call has already ended. `ringing_call` has the call
        id and the saved state of a call that rang before a restart. `consults` is the id of the
        call whose advisor makes this call; "" if it is not a consultation.
        """
        if ringing_call is not None:
            consults = ringing_call.checkpoint.consults
        legs = BackToBackCall.incoming(
            context.endpoint,
            context.relay,
            invite,
            call_settings(context.settings, admission),
            call_id=ringing_call.call_id if ringing_call is not None else new_call_id(now.wall),
            now=now.mono,
        )
        call = cls(context, admission, route, legs, now, consults=consults)
        if ringing_call is not None:
            call.recording.rang_before()
            call._take_pauses(ringing_call.checkpoint.early_pauses)
            call._take_caller(ringing_call.checkpoint, now)
        return call

    @classmethod
    def resumed(
        cls,
        context: CallContext,
        checkpoint: Checkpoint,
        answered: AnsweredState,
        route: Route,
        now: Now,
    ) -> SwitchCall:
        """Continue a call that was answered before a restart of the switch.

        The returned call may have ended already, for example if there was no target to ring again.
        Raises `TelephonyError` if the legs or their media ports cannot be restored. After any
        exception, all legs of the call have ended.
        """
        settings = call_settings(context.settings, checkpoint.admission)
        legs = BackToBackCall.restored(
            context.endpoint, context.relay, checkpoint.legs_values(), settings, now=now.mono
        )
        call = cls(context, checkpoint.admission, route, legs, now, consults=checkpoint.consults)
        call.join_state.kept_by = checkpoint.kept_by
        try:
            call._restore(checkpoint, answered, now)
        except BaseException:
            legs.hangup(now.mono)
            call.recording.end("not resumed", now)
            raise
        return call

    @classmethod
    def placed(
        cls,
        context: CallContext,
        admission: Admission,
        route: Route,
        invite: CallerInvite,
        now: Now,
    ) -> SwitchCall:
        """Place a call for one of our phones, which rings now.

        `admission` is that of the phone. If the phone cannot be rung, the returned call has ended.
        `settle` must be called next.
        """
        call_id, facts = new_call_id(now.wall), admission.caller
        called = Uri(user=escape_user(admission.called), host=facts.from_host)
        own = Uri(user=escape_user(facts.from_user), host=facts.from_host)
        headers = Headers(
            (
                ("Via", f"SIP/2.0/UDP {facts.from_host};branch=z9hG4bK{call_id}"),
                ("From", f"<{own}>;tag=page"),
                ("To", f"<{called}>"),
                ("Call-ID", call_id),
                ("CSeq", "1 INVITE"),
                ("Max-Forwards", "70"),
            )
        )
        legs = BackToBackCall.placed(
            context.endpoint,
            context.relay,
            invite,
            Request("INVITE", called, headers),
            call_settings(context.settings, admission),
            call_id=call_id,
            now=now.mono,
        )
        return cls(context, admission, route, legs, now)

    def _take_pauses(self, pauses: tuple[CallPause, ...]) -> None:
        for pause in pauses:
            self.recording.shut(pause)

    def _take_caller(self, checkpoint: Checkpoint, now: Now) -> None:
        """Continue after a restart with the caller that a trunk has named, if it has named one."""
        caller = checkpoint.caller
        if caller is not None:
            self.caller, self._callers = caller, checkpoint.callers
            self.advisor_side.is_outgoing = self._is_outgoing
            self.recording.caller_changed(caller_fields(caller), now, known=True)

    def _restore(self, checkpoint: Checkpoint, answered: AnsweredState, now: Now) -> None:
        self.log.info("call.resumed")
        self._take_caller(checkpoint, now)
        self.started, self._since = checkpoint.started, answered.since
        self._answered_at = answered.answered_at
        self._enter(answered.phase)
        self.transfer_state.referred_to = answered.referred_to
        self.transfer_state.outside = answered.outside
        self.transfer_state.identity_class = answered.identity_class
        self.transfer_state.completed = answered.transfers
        self.transfer_state.destination = answered.destination
        caller, joined = self._caller_leg, self.legs.joined
        advisor = joined[1] if joined is not None else None
        party = self.advisor_side.resumed(advisor or "", answered)
        self.recording.resumed(caller, advisor, party, answered, now)
        self._take_pauses(checkpoint.early_pauses)
        if advisor is not None:
            self._listen_for_codes(advisor)
        self._update_hold()
        self.settle(now)

    def _checkpoint(self) -> Checkpoint:
        answered = None
        target = self.advisor_side.target
        if self.legs.answered and self._phase is not CallPhase.RINGING:
            answered = AnsweredState(
                phase=self._phase,
                since=self._since,
                advisor=self.advisor_side.advisor,
                group=self.advisor_side.group,
                target=TargetCheckpoint.of(target) if target is not None else None,
                identity=self.advisor_side.asserted,
                referred_to=self.transfer_state.referred_to,
                outside=self.transfer_state.outside,
                identity_class=self.transfer_state.identity_class,
                transfers=self.transfer_state.completed,
                destination=self.transfer_state.destination,
                shut_causes=self.recording.shut_causes,
                lives=self.recording.lives,
                answered_at=self._answered_at,
                recording=self.recording.state,
                recording_since=self.recording.since,
                lateness=self.recording.lateness,
            )
        return Checkpoint(
            admission=self.admission,
            caller=self.caller if self.caller != self.admission.caller else None,
            callers=self._callers,
            consults=self.join_state.consults,
            kept_by=self.join_state.kept_by,
            started=self.started,
            early_pauses=self.recording.early_pauses,
            answered=answered,
            legs=self._saved_legs,
        )

    def _enter(self, phase: CallPhase) -> None:
        """Change the phase of the call, and log the change. Only this method changes the phase."""
        self.log.debug("call.phase", before=self._phase.value, phase=phase.value)
        self._phase = phase

    def save_checkpoint(self) -> None:
        """Save the checkpoint with the present legs, unless the call has ended."""
        if not self.legs.ended:
            self._saved_legs = self.legs.checkpoint()
            self._save_own_part()

    def _save_own_part(self) -> None:
        """Save the checkpoint after a change outside the legs, such as a pause.

        The legs are saved as they were at the most recent `save_checkpoint`. A message that they
        have handled since has had no effect on the peers yet, because `settle` saves the legs
        before it sends anything.
        """
        if not self.legs.ended:
            self._context.checkpoints.save(self.call_id, self._checkpoint())

    @property
    def _caller_leg(self) -> str:
        return next(k for k, leg in self.legs.legs.items() if leg.side is sip.Side.CALLER)

    def start(self, targets: tuple[Target, ...], later: LaterTargets | None, now: Now) -> None:
        """Ring the targets, then those of `later`. Without targets, send the caller a 480."""
        self._in_settle = True
        self.log.info("call.started", targets=len(targets))
        if self.legs.ended:
            pass
        elif targets:
            self.advisor_side.dialled(targets)
            self.legs.dial(targets, now.mono, later)
            self.publish()
        else:
            self.legs.reject(480, now.mono)
        self.settle(now)

    def on_sip(self, event: SipEvent, now: Now) -> None:
        """Pass a SIP event to the legs of this call, then handle the events of the legs."""
        if isinstance(event, AckReceived) and isinstance(event.dialog.owner, Leg):
            self._context.relay.confirm_peer(event.dialog.owner.id)
        self.legs.handle(event, now.mono)
        self.settle(now)

    def hangup(self, reason: str, now: Now) -> None:
        """End every leg of the call; `reason` is the value of a Reason header field (RFC 3326)."""
        self.legs.hangup(now.mono, reason)
        self.settle(now)

    def ask_parties(self, answered: Callable[[], None], now: Now) -> None:
        """Ask each party whether it still has the call; call `answered` for each response."""
        self.legs.ask_parties(answered, now.mono)
        self.settle(now)

    def set_hold(self, now: Now, *, held: bool) -> None:
        """Hold the caller for the page, or end this hold."""
        if held:
            self.legs.hold(now.mono)
        else:
            self.legs.resume(now.mono)
        self._update_hold()
        self.settle(now)

    def on_silence(self, leg_id: str, seconds: float) -> None:
        """Raise an alarm for a leg that has sent no media for `seconds` seconds.

        The relay calls this method only for a leg that is not on hold.
        """
        side = self.legs.legs[leg_id].side
        track = TRACKS[side]
        party = "caller" if side is sip.Side.CALLER else "advisor's side"
        self._context.links.alarm("media.silent", self.call_id, f"no sound from the {party}")
        self.recording.event("silence", {"track": track, "seconds": seconds})

    def state(self) -> CallStatus:
        """Return the whole state of the call, for the desk."""
        return CallStatus(
            call_id=self.call_id,
            version=self._version,
            started=self.started,
            since=self._since,
            line=self._route.line,
            called=self.admission.called,
            caller=self.caller,
            state=self._phase.value,
            ringing=self.advisor_side.ringing,
            advisor=self.advisor_side.advisor,
            group=self.advisor_side.candidates,
            recording=self.recording.state.value,
            recording_since=self.recording.since,
            holders=self.recording.holders,
            durable=self.recording.durable,
            callers=self._callers,
            recorded=self.admission.recorded,
            outgoing=self._is_made_by_an_advisor,
            transfers=self.transfer_state.completed,
            destination=self.transfer_state.destination,
            transferring=self._transferring,
            transfers_begun=self.transfer_state.begun,
            transfer_failed=self.transfer_state.failed,
            acts=acts_of(self.legs),
            answerable=answerable_of(self.legs),
        )

    @property
    def _transferring(self) -> str:
        """The destination class of a transfer whose target rings now; "" if there is none."""
        side = self.advisor_side
        if self._phase is CallPhase.RINGING or not side.ringing or side.advisor in side.ringing:
            return ""
        return self.transfer_state.referred_to.value

    def publish(self) -> None:
        """Send the call's state to the desk. Raise an alarm if the recording has become faulty.

        While `settle` runs, this method does not send the state, because `settle` sends the state
        once, at its end. While the call goes on, the checkpoint is saved before the state is sent.
        """
        self._version += 1
        if self.recording.faulty and not self._faulty:
            self._context.links.alarm("recording.fault", self.call_id, self.recording.disk_error)
        self._faulty = self.recording.faulty
        self._unsent = True
        if not self._in_settle:
            if self._saved_legs:
                self._save_own_part()
            else:
                self.save_checkpoint()
            self._send_state()

    @property
    def hidden(self) -> bool:
        """True if the desk does not show this call, because another call goes on for it."""
        return bool(self.join_state.kept_by)

    def hide(self) -> None:
        """Report to the desk that this call is no longer shown: another call goes on for it."""
        self._context.links.call_ended(CallEnded(self.call_id, read_clocks().wall, answered=False))
        self.publish()

    def _send_state(self) -> None:
        if self._unsent:
            self._unsent = False
            if self.hidden:
                return
            self._context.links.call_changed(self.state())

    def settle(self, now: Now) -> None:
        """Handle the legs' events, save the checkpoint and send the call's state to the desk.

        Call this method after each input to the legs. The method also starts the timer that the
        legs need next, and sends the SIP messages that wait in the SIP endpoint.
        """
        self._in_settle = True
        try:
            with self.recording.one_write():
                while (event := self.legs.next_event()) is not None:
                    self._dispatch(event, now)
        finally:
            self._in_settle = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.legs.next_timer()
        if due is not None:
            delay = max(0.0, due - now.mono)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)
        self.save_checkpoint()
        self._send_state()
        self._context.flush()

    def _on_timer(self) -> None:
        now = read_clocks()
        self.legs.handle_timer(now.mono)
        self.settle(now)

    def _dispatch(self, event: sip.CallEvent, now: Now) -> None:  # noqa: C901, PLR0912 - one case for each event
        match event:
            case sip.MediaNegotiated():
                self._negotiated(event)
            case sip.CallRedirected(_, targets) | sip.MoreTargetsRung(targets):
                self.log.info("call.rings_elsewhere", reason=type(event).__name__)
                self.advisor_side.also_rings_at(targets)
                self.publish()
            case sip.CallerReached():
                self._dial(now)
            case sip.CallAnswered(leg_id, target):
                self._answered(leg_id, target, now)
            case sip.TransferRequested():
                self.transfers.requested(event, now)
            case sip.TransferCompleted(_, leg_id, target) | sip.Joined(leg_id, target):
                self.transfers.completed(leg_id, target, now)
            case sip.TransferFailed():
                self.transfers.failed(event, now)
            case sip.Recalled(leg_id, target):
                self.transfers.recalled(leg_id, target, now)
            case sip.InfoReceived(_, side, request):
                if side is sip.Side.CALLEE:
                    self.pauses.info(request, now)
                elif self._is_made_by_an_advisor:
                    self.callers_pauses.info(request, now)
            case sip.RecordRequested(request_id, _, side, value):
                caller = side is sip.Side.CALLER
                pauses = self.callers_pauses if caller else self.pauses
                pauses.record_key(value, now, partial(self._answer_key, request_id))
            case sip.IdentityChanged(_, sip.Side.CALLER):
                self._caller_named(event, now)
            case sip.IdentityChanged():
                self._identified(event, now)
            case sip.CallHeld() | sip.CallResumed():
                self._update_hold()
            case sip.CallEnded():
                self._ended(event, now)
            case sip.LegEnded():
                self.transfers.leg_ended(now)
            case sip.LegRinging() | sip.TransferProgress() | sip.AddressSilent():
                self._leg_rings(event)

    def _leg_rings(self, event: sip.LegRinging | sip.TransferProgress | sip.AddressSilent) -> None:
        self.log.debug("call.leg", what=type(event).__name__)
        if isinstance(event, sip.AddressSilent):
            self._context.router.locations.mark_failed(event.address)
        if self.legs.answerable:
            self.publish()  # the page may now answer for this phone

    def _dial(self, now: Now) -> None:
        """Ring the targets of a placed call after its caller has answered."""
        called = self.admission.called
        targets, later = self._context.router.ring_order(self._route, called, now.mono)
        self.log.info("call.started", targets=len(targets))
        if not targets:
            self.legs.hangup(now.mono, "SIP;cause=480")
            return
        self.advisor_side.dialled(targets)
        self.legs.dial(targets, now.mono, later)
        self.publish()

    def _negotiated(self, event: sip.MediaNegotiated) -> None:
        leg = self.legs.legs.get(event.leg_id)
        if leg is not None:
            self._set_sources(leg)
        self.recording.negotiated(event)

    def _set_sources(self, leg: Leg) -> None:
        """Set the sources whose media the leg accepts, and hold back media to an unproved peer."""
        relay = self._context.relay
        caller = leg.side is sip.Side.CALLER
        rule = self.admission.source_rule if caller else self._route.source
        rule = rule or self._context.settings.media.source
        relay.set_source_rule(leg.id, SourceRule(rule), leg.signalling_host)
        if self._is_unproved(leg):
            relay.await_peer(leg.id)

    def _is_unproved(self, leg: Leg) -> bool:
        """Return whether the address of the leg's media comes from a datagram that may be forged.

        An INVITE over UDP without a password proves nothing until its ACK arrives. Media may go at
        once to the host that sent the INVITE, and to the hosts that the settings list for its
        trunk.
        """
        invite, remote = leg.server_invite, leg.media.remote
        is_phone = self.admission.phone if leg.target is None else leg.target.is_phone
        if invite is None or remote is None or is_phone:
            return False
        if invite.source.reliable or remote.host == invite.source.host:
            return False
        trunk = self._context.settings.find_trunk(*invite.source[:3])
        if trunk is not None and trunk.has_media_host(remote.host):
            return False
        return leg.dialog is None or leg.dialog.ack_due

    def claim(self, advisor: Party) -> None:
        """Handle the message that `advisor` talks with the caller (see `AdvisorSide.claim`)."""
        if self.advisor_side.claim(advisor):
            self.recording.advisor(advisor)
            self.publish()

    def _answered(self, leg_id: str, target: Target, now: Now) -> None:
        self.log.info("call.answered")
        self._enter(CallPhase.ANSWERED)
        arrived = now.at_arrival
        self._since, self._answered_at = arrived.wall, arrived.mono
        party = self.advisor_side.answered(leg_id, target)
        destination, trigger = self.advisor_side.class_at_answer()
        if destination is not DestinationClass.CENTRE:
            self._answered_outside(destination, trigger)
        self.recording.answered(
            *(self._caller_leg, leg_id, party, now),
            destination=destination,
            trigger=trigger,
            actor=self.advisor_side.actor,
        )
        self._listen_for_codes(leg_id)
        self.publish()
        self.joins.answered(now)

    def _answered_outside(self, destination: DestinationClass, trigger: Trigger) -> None:
        self.log.info("call.answered_outside", destination=destination, by=trigger)
        self.transfer_state.identity_class = destination
        self.advisor_side.renamed(somebody_else=not self._may_be_advisor(destination))

    def _listen_for_codes(self, leg_id: str) -> None:
        self._context.relay.watch_events(leg_id, self.pauses.watcher)
        if self._is_made_by_an_advisor:
            self._context.relay.watch_events(self._caller_leg, self.callers_pauses.watcher)

    def _answer_key(self, request_id: int, status: int, reason: str | None, now: Now) -> None:
        self.legs.answer_record(request_id, status, now.mono, reason)
        self.settle(now)

    def talk_with(self, leg_id: str, target: Target, now: Now) -> None:
        """Make `target`, on `leg_id`, the new party, for the recording and for the page.

        If a name from a PBX says that the party is outside the centre, the gate shuts before the
        party's leg is recorded (see `AdvisorSide.class_of_name`).
        """
        destination = self._take_party(leg_id, target, now)
        if destination is DestinationClass.CENTRE and self.recording.shut_causes.identity:
            self._has_new_party(destination, now)
        self._has_talker(leg_id)

    def come_back_to(self, leg_id: str, target: Target, now: Now) -> None:
        """Make `target` the new party: the call has come back to the centre from an outside party.

        The gate opens, unless a PBX has named the new party as one outside the centre, or a pause
        keeps the gate shut.
        """
        if self._take_party(leg_id, target, now) in {None, DestinationClass.CENTRE}:
            self.recording.returned(now)
        else:
            self.recording.transfer_failed(now)
        self._has_talker(leg_id)

    def _take_party(self, leg_id: str, target: Target, now: Now) -> DestinationClass | None:
        """Make the party at `target` the party at the advisor's end, and record its leg.

        If the party's name shows that it is outside the centre, the gate shuts first. Return the
        class of the name, as `class_of_name` does.
        """
        actor = self.advisor_side.actor
        party = self.advisor_side.replaced(leg_id, target)
        destination = self.advisor_side.class_of_name(is_first=True)
        if destination is not None and destination is not DestinationClass.CENTRE:
            self._has_new_party(destination, now, actor)
        self.recording.follow(leg_id, party)
        return destination

    def _has_talker(self, leg_id: str) -> None:
        self._listen_for_codes(leg_id)
        self._update_hold()

    def _has_new_party(self, destination: DestinationClass, now: Now, actor: str = "") -> None:
        """Shut or open the gate for the class of the party that a PBX has named.

        `actor` is the party that had the call before; "" means the party in `advisor_side`.
        """
        self.transfer_state.identity_class = destination
        side = self.advisor_side
        self.recording.identified(destination, actor or side.actor, now, trigger=side.trigger)

    def targets(self, now: float) -> tuple[Target, ...]:
        """Return the targets that the call's route would ring at the time `now`."""
        return self._context.router.targets(self._route, self.admission.called, now)

    def caller_target(self) -> Target:
        """Return the caller as a target, so that another call can be connected to the caller."""
        dialog, admission = self.legs.legs[self._caller_leg].dialog, self.admission
        extension = self._callers_extension
        return Target(
            uri=dialog.remote_target if dialog else Uri.parse("sip:anonymous.invalid"),
            destination=dialog.peer if dialog else Address("", 0),
            name=extension,
            user=self._context.router.phones.user_of(extension),
            trust=admission.trusted,
            grants=self._context.router.grants_at(dialog.peer) if dialog else NO_GRANTS,
            is_phone=admission.phone,
            srtp=Srtp(admission.srtp),
        )

    def _identified(self, event: sip.IdentityChanged, now: Now) -> None:
        """Handle a name from a PBX for the advisor's end: a new party may shut the gate.

        A name from a Contact never shuts the gate: it only renames the party.
        """
        side, state = self.advisor_side, self.transfer_state
        before = side.asserted
        if not side.named(event):
            return
        contact = event.source.lower() == "contact"
        if not contact and self.joins.advisor_named(event.identity.uri.dialled, now):
            return
        destination = side.class_of_name(is_first=not before)
        inside = {None, DestinationClass.CENTRE}
        stays = {destination, state.identity_class} <= inside and not before
        if destination is None or stays:
            changed = side.renamed(somebody_else=False)
        else:
            state.complete(destination)
            self._has_new_party(destination, now)
            somebody_else = bool(before) or not self._may_be_advisor(destination)
            changed = side.renamed(somebody_else=somebody_else)
        if changed and side.advisor is not None:
            self.recording.advisor(side.advisor)
        self.publish()

    def _may_be_advisor(self, destination: DestinationClass) -> bool:
        """Return whether a PBX's first name may be that of an advisor who is not in the settings.

        If so, and if the call must be recorded, raise an alarm.
        """
        if destination is not DestinationClass.UNKNOWN:
            return False
        if self.admission.recorded:
            self._context.links.alarm("recording.unknown_party", self.call_id)
        return True

    def _caller_named(self, event: sip.IdentityChanged, now: Now) -> None:
        """Handle a name for the caller in a message during the call.

        Only a trusted trunk can name a new caller. The name can also show that a PBX has joined
        this call with another call.
        """
        if self.admission.phone or not self.admission.trusted:
            return
        caller = new_caller(self.caller, event)
        if caller is None:
            self.joins.caller_is_back(event.source)
        elif not self.joins.caller_named(caller, now):
            self.log.info("caller.changed")
            self.caller = caller
            self._callers += 1
            self.recording.caller_changed(caller_fields(caller), now)
            self._judge_again(now)
            self.publish()

    def _judge_again(self, now: Now) -> None:
        """If an advisor hands the call over to another caller, classify the called party again."""
        side = self.advisor_side
        was_outgoing, side.is_outgoing = side.is_outgoing, self._is_outgoing
        if not was_outgoing or side.is_outgoing or self._phase is CallPhase.RINGING:
            return
        destination, _ = side.class_at_answer()
        if destination is not DestinationClass.CENTRE:
            self._has_new_party(destination, now)

    def _update_hold(self) -> None:
        before, self._holding = self._holding, self.legs.holding
        for side in before ^ self._holding:
            kind = "hold" if side in self._holding else "resume"
            self.recording.event(kind, {"track": TRACKS[side]})
        phase = CallPhase.HELD if self._holding else CallPhase.ANSWERED
        if phase is not self._phase:
            self._enter(phase)
        self.publish()

    def _ended(self, event: sip.CallEnded, now: Now) -> None:
        self.log.info("call.ended", cause=event.cause)
        answered = self._phase is not CallPhase.RINGING
        self._enter(CallPhase.ENDED)
        self.advisor_side.rings_at(())
        # The recording ends at the arrival of the BYE, so the talk time for the ledger does too.
        arrived = now.at_arrival
        lasted = round((arrived.mono - self._answered_at) * 1e6) if self._answered_at else None
        self.joins.ended()
        lost_fork = answered and self._is_lost_fork(event.cause, lasted)
        answered = answered and not lost_fork
        if answered:
            self._note_naming()
        # From here on, no other process continues the call, even if this process dies at once.
        self._context.checkpoints.mark_ended(self.call_id)
        if lost_fork:
            self.log.info("call.lost_fork")
            self.recording.discard(event.cause, now)
        recorded = not lost_fork and self.recording.end(event.cause, now)
        self._send_state()
        self._context.checkpoints.remove(self.call_id)
        if self.admission.emergency and not answered and event.cause != EndCause.CANCELLED:
            self._context.links.alarm(
                "emergency.failed", self.call_id, f"SIP status {event.status}"
            )
        for_ledger = answered and self.admission.recorded
        unanswered: Unanswered = "cancelled" if lost_fork else ""
        if not answered and not lost_fork:
            unanswered = _end_of_ringing(event)
        self._context.links.call_ended(
            CallEnded(
                self.call_id,
                arrived.wall,
                answered and recorded,
                None if lost_fork else lasted,
                for_ledger=for_ledger,
                unanswered=unanswered,
                lost_fork=lost_fork,
            )
        )
        if recorded:
            self._context.links.spool_closed(self.call_id)
        self._context.forget(self.call_id)

    def _is_lost_fork(self, cause: str, lasted_us: int | None) -> bool:
        admission = self.admission
        if not admission.recorded or admission.emergency or self.transfer_state.begun:
            return False
        others = self._context.live_calls()
        return self.recording.lives <= 1 and is_lost_fork(self, cause, lasted_us, others)

    def _note_naming(self) -> None:
        side = self.advisor_side
        if not self._route.advisors or side.target is None or side.target.is_phone:
            return
        named = side.named_class(is_first=True) is not None
        self._context.naming.ended(side.target.destination, is_named=named)


def _end_of_ringing(event: sip.CallEnded) -> Unanswered:
    if event.cause == EndCause.CANCELLED:
        return "cancelled"
    return "refused" if event.status in _REFUSALS else "no_answer"


def acts_of(legs: BackToBackCall) -> tuple[ActState, ...]:
    """Return the acts that the page can offer the advisor, with what prevents an act now."""
    if legs.joined is None:
        return ()
    by_phone = sip.Side.CALLEE in legs.holding and not legs.held_by_owner
    hold = ActState("hold", "on_hold" if by_phone else "")
    return (
        ActState("hangup"),
        ActState("resume") if legs.held_by_owner else hold,
        ActState("transfer", "transferring" if legs.transferring else ""),
    )


def answerable_of(legs: BackToBackCall) -> tuple[Party, ...]:
    """Return the ringing phones that the switch can ask to answer."""
    targets = [leg.target for leg in legs.answerable if leg.target and leg.target.is_phone]
    return tuple(Party(target.name, target.user) for target in targets)


def call_of_leg(calls: Mapping[str, SwitchCall], leg_id: str) -> SwitchCall | None:
    """Return the call that has the leg `leg_id` now; None if no call has it.

    A leg's id begins with a call id. The call with this id is tried first.
    """
    call = calls.get(leg_id.partition("/")[0])
    if call is not None and leg_id in call.legs.legs:
        return call
    return next((call for call in calls.values() if leg_id in call.legs.legs), None)
