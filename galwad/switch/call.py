"""A live call: connects its SIP legs, its recording and the messages to the desk.

Each SIP event is handled completely on the event loop as soon as it arrives, without waiting. A
REFER or a payment trigger therefore shuts the gate before anything else happens. Work that must
wait for the disk (making a pause durable, resuming) runs as a task. Only such a task opens the gate
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import structlog

from config.sections import Route
from galwad.messages import CallEnded, CallState, Party
from galwad.switch.admission import Admission
from galwad.switch.advisor_side import Parties, is_handover
from galwad.switch.checkpoint import CallPhase, EarlyHold, Heir, Memo, Talk
from galwad.switch.clocks import read_clocks
from galwad.switch.codes import CodeBook
from galwad.switch.context import Switchboard, call_settings
from galwad.switch.pauses import Holds
from galwad.switch.recorded_legs import TRACKS
from galwad.switch.recording import CallRecording
from galwad.switch.spools import new_call_id
from galwad.switch.transfers import Transfers
from recording.spool import Clock
from telephony.aio.relay import SourceRule
from telephony.b2bua import BackToBackCall, Target, TargetCheckpoint
from telephony.b2bua import events as sip
from telephony.sdp import Srtp
from telephony.sip.events import Address, SipEvent
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uas import InviteServer

log = structlog.get_logger()


class LiveCall:
    """One call from its INVITE to its end."""

    def __init__(
        self,
        board: Switchboard,
        admission: Admission,
        route: Route,
        legs: BackToBackCall,
        now: Clock,
    ) -> None:
        """Connect the parts; create calls with `incoming` or `resumed` instead."""
        self.call_id = legs.call_id
        self._board = board
        self.admission = admission
        self._route = route
        self.legs = legs
        self.log = log.bind(call_id=self.call_id)
        self._started = self._since = now.wall
        self._phase = CallPhase.RINGING
        self.parties = Parties(board.router, route)
        self._answered_at = 0.0
        """The time of the answer in monotonic seconds; 0 if not answered or not known."""
        self._version = 0
        self._settling = self._untold = False
        self._faulty = False
        self._timer: asyncio.TimerHandle | None = None
        self.recording = CallRecording(
            board.spools,
            board.relay,
            self.call_id,
            admission.facts(route.line) if admission.recorded else None,
            self.publish,
        )
        codes = board.settings.recording
        self.holds = Holds(
            self.recording,
            CodeBook(codes.payment_code_on or "", codes.payment_code_off or ""),
            actor=lambda: self.parties.actor,
            alarm=lambda kind: board.hub.alarm(kind, self.call_id),
            answer_key=self._answer_key,
            log=self.log,
        )
        self.transfers = Transfers(self, board.router, board.find)
        legs.follow_redirects(board.router.divert)

    @classmethod
    def incoming(
        cls,
        board: Switchboard,
        invite: InviteServer,
        admission: Admission,
        route: Route,
        now: Clock,
        *,
        heir: Heir | None = None,
    ) -> LiveCall:
        """Create a call for an INVITE that follows `route`. The call may have ended already.

        `heir` is given for a call that was ringing before a restart. The new call keeps its call id
        and its payment holders.
        """
        legs = BackToBackCall.incoming(
            board.endpoint,
            board.relay,
            invite,
            call_settings(board.settings, admission),
            call_id=heir.call_id if heir is not None else new_call_id(now.wall),
            now=now.mono,
        )
        call = cls(board, admission, route, legs, now)
        if heir is not None:
            call._inherit(heir.memo.holds)
        return call

    @classmethod
    def resumed(
        cls, board: Switchboard, memo: Memo, talk: Talk, route: Route, now: Clock
    ) -> LiveCall:
        """Continue a call that was answered before a restart.

        The returned call may already have ended: the caller had no partner left, and there was no
        target to ring again.

        Raises:
            TelephonyError: The legs or their media ports cannot be restored. After this or any
                other exception, no leg of the call remains.
        """
        settings = call_settings(board.settings, memo.admission)
        legs = BackToBackCall.restored(
            board.endpoint, board.relay, memo.legs_values(), settings, now=now.mono
        )
        call = cls(board, memo.admission, route, legs, now)
        try:
            call._restore(memo, talk, now)
        except BaseException:
            legs.hangup(now.mono)
            call.recording.end("not resumed")
            raise
        return call

    def _inherit(self, holds: tuple[EarlyHold, ...]) -> None:
        for hold in holds:
            self.recording.shut(hold.holder, hold.trigger, hold.actor)

    def _restore(self, memo: Memo, talk: Talk, now: Clock) -> None:
        self.log.info("call.resumed")
        self._started, self._since = memo.started, talk.since
        self._answered_at = talk.answered
        self._enter(talk.state)
        self.transfers.referred_to, self.transfers.away = talk.referred_to, talk.away
        self.transfers.named = talk.named
        caller, joined = self._caller_leg, self.legs.joined
        advisor = joined[1] if joined is not None else None
        party = self.parties.resumed(talk)
        self.recording.resumed(
            *(caller, advisor, party, talk.standing),
            lives=talk.lives,
            answered=talk.answered,
            now=now,
        )
        self._inherit(memo.holds)
        if advisor is not None:
            self._listen_for_codes(advisor)
        self.publish()
        self.settle(now)

    def _memo(self) -> Memo:
        talk = None
        target = self.parties.target
        if self.legs.answered and self._phase is not CallPhase.RINGING:
            talk = Talk(
                state=self._phase,
                since=self._since,
                advisor=self.parties.advisor,
                group=self.parties.group,
                target=TargetCheckpoint.of(target) if target is not None else None,
                identity=self.parties.identity,
                referred_to=self.transfers.referred_to,
                away=self.transfers.away,
                named=self.transfers.named,
                standing=self.recording.standing,
                lives=self.recording.lives,
                answered=self._answered_at,
            )
        return Memo(
            admission=self.admission,
            started=self._started,
            holds=self.recording.early_holds,
            talk=talk,
            legs=msgspec.Raw(msgspec.json.encode(self.legs.checkpoint())),
        )

    def _enter(self, phase: CallPhase) -> None:
        """Change the phase; no other method does."""
        self.log.debug("call.phase", before=self._phase.value, phase=phase.value)
        self._phase = phase

    def _save_checkpoint(self) -> None:
        """Save the checkpoint for the next process, before the desk receives the new state."""
        if not self.legs.ended:
            self._board.checkpoints.save(self.call_id, self._memo())

    @property
    def _caller_leg(self) -> str:
        return next(k for k, leg in self.legs.legs.items() if leg.side is sip.Side.CALLER)

    def start(self, targets: tuple[Target, ...], now: Clock) -> None:
        """Ring the targets; if there are none, answer the caller with 480."""
        self._settling = True
        self.log.info("call.started", targets=len(targets))
        if self.legs.ended:
            pass
        elif targets:
            self.parties.dialled(targets)
            self.legs.dial(targets, now.mono)
            self.publish()
        else:
            self.legs.reject(480, now.mono)
        self.settle(now)

    def on_sip(self, event: SipEvent, now: Clock) -> None:
        """Pass a SIP event to the legs of this call and act on the result."""
        self.legs.handle(event, now.mono)
        self.settle(now)

    def hangup(self, reason: str, now: Clock) -> None:
        """End every leg; `reason` is the value of a Reason header field (RFC 3326)."""
        self.legs.hangup(now.mono, reason)
        self.settle(now)

    def on_silence(self, leg_id: str, seconds: float) -> None:
        """Raise an alarm for a leg that is not on hold and has sent no media for `seconds`."""
        track = TRACKS[self.legs.legs[leg_id].side]
        self._board.hub.alarm("media.silent", self.call_id, f"track {track}")
        self.recording.event("silence", {"track": track, "seconds": seconds})

    def state(self) -> CallState:
        """Return the whole state of the call, for the desk."""
        return CallState(
            call_id=self.call_id,
            version=self._version,
            started=self._started,
            since=self._since,
            line=self._route.line,
            called=self.admission.called,
            caller=self.admission.caller,
            state=self._phase.value,
            ringing=self.parties.ringing,
            advisor=self.parties.advisor,
            group=self.parties.candidates,
            recording=self.recording.state.value,
            recording_since=self.recording.since,
            holders=self.recording.holders,
            durable=self.recording.durable,
        )

    def publish(self) -> None:
        """Send the desk the present state; raise an alarm when the recording has become faulty.

        While `settle` runs, the state is sent once, at its end. The checkpoint is always saved
        before the desk receives the state.
        """
        self._version += 1
        if self.recording.faulty and not self._faulty:
            self._board.hub.alarm("recording.fault", self.call_id, self.recording.disk_error)
        self._faulty = self.recording.faulty
        self._untold = True
        if not self._settling:
            self._save_checkpoint()
            self._tell()

    def _tell(self) -> None:
        if self._untold:
            self._untold = False
            self._board.hub.call_changed(self.state())

    def settle(self, now: Clock) -> None:
        """Handle the legs' events, save the checkpoint and send; call this after any input."""
        self._settling = True
        try:
            while (event := self.legs.next_event()) is not None:
                self._dispatch(event, now)
        finally:
            self._settling = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.legs.next_timer()
        if due is not None:
            delay = max(0.0, due - now.mono)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)
        self._save_checkpoint()
        self._tell()
        self._board.flush()

    def _on_timer(self) -> None:
        now = read_clocks()
        self.legs.handle_timer(now.mono)
        self.settle(now)

    def _dispatch(self, event: sip.CallEvent, now: Clock) -> None:  # noqa: C901, PLR0912 - one case an event
        match event:
            case sip.MediaNegotiated():
                self._negotiated(event)
            case sip.CallRedirected(_, targets):
                self.log.info("call.diverted")
                self.parties.also_rings_at(targets)
                self.publish()
            case sip.CallAnswered(leg_id, target):
                self._answered(leg_id, target, now)
            case sip.TransferRequested():
                self.transfers.requested(event, now)
            case sip.TransferCompleted(_, leg_id, target) | sip.Joined(leg_id, target):
                self.transfers.completed(leg_id, target)
            case sip.TransferFailed():
                self.transfers.failed(event, now)
            case sip.Recalled(leg_id, target):
                self.transfers.recalled(leg_id, target)
            case sip.InfoReceived(_, side, request):
                if side is sip.Side.CALLEE:
                    self.holds.info(request, now)
            case sip.RecordRequested(request_id, _, value):
                self.holds.record_key(request_id, value, now)
            case sip.IdentityChanged():
                self._identified(event)
            case sip.CallHeld(_, side) | sip.CallResumed(_, side):
                self._held(side, held=isinstance(event, sip.CallHeld))
            case sip.CallEnded(cause):
                self._ended(cause, now)
            case sip.LegRinging() | sip.LegEnded() | sip.TransferProgress():
                self.log.debug("call.leg", what=type(event).__name__)

    def _negotiated(self, event: sip.MediaNegotiated) -> None:
        caller = event.side is sip.Side.CALLER
        rule = self.admission.source_rule if caller else self._route.source
        if rule is not None:
            self._board.relay.set_source_rule(event.leg_id, SourceRule(rule))
        self.recording.negotiated(event)

    def taken(self, advisor: Party) -> None:
        """Set the advisor when a member of the group says that the call is theirs."""
        if self.parties.taken(advisor):
            fields = {"user": advisor.user, "extension": advisor.extension}
            self.recording.event("advisor", fields)
            self.publish()

    def _answered(self, leg_id: str, target: Target, now: Clock) -> None:
        self.log.info("call.answered")
        self._enter(CallPhase.ANSWERED)
        self._since, self._answered_at = now.wall, now.mono
        self.recording.answered(self._caller_leg, leg_id, self.parties.answered(target), now)
        self._listen_for_codes(leg_id)
        self.publish()

    def _listen_for_codes(self, leg_id: str) -> None:
        """Watch the advisor's leg, and no other, for the codes that pause and resume."""
        self._board.relay.watch_events(leg_id, self.holds.watcher)

    def _answer_key(self, request_id: int, status: int, reason: str | None, now: Clock) -> None:
        self.legs.answer_record(request_id, status, now.mono, reason)
        self.settle(now)

    def talk_with(self, leg_id: str, target: Target) -> None:
        """Record and show the new party at the advisor's end."""
        self.recording.follow(leg_id, self.parties.replaced(target))
        self._listen_for_codes(leg_id)
        self.publish()

    def targets(self, now: float) -> tuple[Target, ...]:
        """Return the targets that the call's route rings now."""
        return self._board.router.targets(self._route, self.admission.called, now)

    def caller_target(self) -> Target:
        """Return the caller as a target, so that another call can be connected to it."""
        dialog, admission = self.legs.legs[self._caller_leg].dialog, self.admission
        extension = admission.caller.from_user if admission.phone else ""
        return Target(
            uri=dialog.remote_target if dialog else Uri.parse("sip:anonymous.invalid"),
            destination=dialog.peer if dialog else Address("", 0),
            name=extension,
            user=self._board.router.user_of(extension),
            trust=admission.trusted,
            is_phone=admission.phone,
            srtp=Srtp(admission.srtp),
        )

    def _identified(self, event: sip.IdentityChanged) -> None:
        """Act on a PBX's new name for the advisor's end (P-Asserted-Identity, Remote-Party-ID)."""
        before = self.parties.identity
        if not self.parties.identified(event) or self._phase is CallPhase.RINGING:
            return
        destination = self._board.router.classify(event.identity.uri)
        handover = event.source.lower() != "contact" and is_handover(before, destination)
        if handover:
            self.transfers.named = destination
            self.recording.identified(destination, self.parties.actor)
        self.parties.renamed(somebody_else=handover)
        self.publish()

    def _held(self, side: sip.Side, *, held: bool) -> None:
        self._enter(CallPhase.HELD if held else CallPhase.ANSWERED)
        self.recording.event("hold" if held else "resume", {"track": TRACKS[side]})
        self.publish()

    def _ended(self, cause: str, now: Clock) -> None:
        self.log.info("call.ended", cause=cause)
        answered = self._phase is not CallPhase.RINGING
        self._enter(CallPhase.ENDED)
        self.parties.rings_at(())
        lasted = round((now.mono - self._answered_at) * 1e6) if self._answered_at else None
        recorded = self.recording.end(cause)
        self._tell()
        self._board.checkpoints.remove(self.call_id)
        owed = answered and self.admission.recorded
        self._board.hub.call_ended(
            CallEnded(self.call_id, now.wall, answered and recorded, lasted, owed=owed)
        )
        if recorded:
            self._board.hub.spool_closed(self.call_id)
        self._board.forget(self.call_id)


def call_with(calls: Mapping[str, LiveCall], leg_id: str) -> LiveCall | None:
    """Return the call that has this leg now, or None.

    A leg keeps its id when another call takes it over, so the call id in the leg's id may be that
    of the first call.
    """
    call = calls.get(leg_id.partition("/")[0])
    if call is not None and leg_id in call.legs.legs:
        return call
    return next((call for call in calls.values() if leg_id in call.legs.legs), None)
