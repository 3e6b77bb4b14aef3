"""A live call: the SIP legs, the recording and what the desk is told, wired to each other.

SIP events are handled where they enter, on the loop, without a wait in between: so a REFER or
a payment trigger shuts the gate before anything else happens. What must wait for the disk (a
durable pause, a resume) runs as a task; only there does a gate open again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

import structlog

from config.sections import Route
from galwad.messages import CallEnded, CallState, CallStateName, Party
from galwad.switch.admission import Admission
from galwad.switch.board import Switchboard, call_settings
from galwad.switch.codes import Code, CodeBook, CodeListener, record_key
from galwad.switch.memo import Heir, Memo, Talk
from galwad.switch.recording import TRACKS, CallRecording
from galwad.switch.spools import new_call_id
from recording.policy import DestinationClass, RecordingState, Trigger
from telephony.aio.relay import SourceRule
from telephony.b2bua import BackToBackCall, Target, target_from, target_to
from telephony.b2bua import events as sip
from telephony.sip.events import Event
from telephony.sip.uas import InviteServer

log = structlog.get_logger()


def is_handover(before: str, destination: DestinationClass) -> bool:
    """Whether a name that a PBX gives in mid-call means somebody else, not the first name.

    A PBX that named nobody at the answer may name the advisor later; but a department is one,
    whoever was there before.
    """
    return bool(before) or destination not in {DestinationClass.CENTRE, DestinationClass.UNKNOWN}


class LiveCall:
    """One call from its INVITE to its end."""

    def __init__(
        self, board: Switchboard, admission: Admission, route: Route, legs: BackToBackCall
    ) -> None:
        """Wire the parts together; `incoming` and `resumed` are the ways in."""
        self.call_id = legs.call_id
        self._board = board
        self._admission = admission
        self._route = route
        self._b2bua = legs
        self._log = log.bind(call_id=self.call_id)
        self._started = self._since = time.time()
        self._state: CallStateName = "ringing"
        self._ringing: tuple[Party, ...] = ()
        self._advisor: Party | None = None
        self._group: tuple[Party, ...] = ()
        """One of them has the call that a PBX answered, as long as it names nobody."""
        self._target: Target | None = None
        self._identity = ""
        self._referred_to = DestinationClass.UNKNOWN
        self._away = False
        """The caller was handed on to somebody outside the centre, and talks with them."""
        self._version = self._wishes = 0
        self._faulty = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[bool]] = set()
        self.recording = CallRecording(
            board.spools,
            board.relay,
            self.call_id,
            admission.facts(route.line) if admission.recorded else None,
            self.publish,
        )
        book = CodeBook(
            board.settings.recording.payment_code_on or "",
            board.settings.recording.payment_code_off or "",
        )
        self._codes = CodeListener(book, self._on_code) if book else None

    @classmethod
    def incoming(
        cls,
        board: Switchboard,
        invite: InviteServer,
        admission: Admission,
        route: Route,
        heir: Heir | None = None,
    ) -> LiveCall:
        """Take over an INVITE that takes `route`. It may have ended already.

        `heir`: it rang before a restart, and keeps its name and its payment holds.
        """
        legs = BackToBackCall.incoming(
            board.endpoint,
            board.relay,
            invite,
            call_settings(board.settings, admission),
            call_id=heir.call_id if heir is not None else new_call_id(),
            now=time.monotonic(),
        )
        call = cls(board, admission, route, legs)
        for hold in heir.memo.holds if heir is not None else ():
            call.recording.shut(hold.holder, hold.trigger, hold.actor)
        return call

    @classmethod
    def resumed(cls, board: Switchboard, memo: Memo, talk: Talk, route: Route) -> LiveCall:
        """Go on with a call that was answered before a restart.

        Raises:
            TelephonyError: its legs or their ports are not to be had.
        """
        settings = call_settings(board.settings, memo.admission)
        now = time.monotonic()
        legs = BackToBackCall.restored(board.endpoint, board.relay, memo.legs, settings, now=now)
        call = cls(board, memo.admission, route, legs)
        call._go_on(memo.started, talk, now)
        return call

    def _go_on(self, started: float, talk: Talk, now: float) -> None:
        self._log.warning("call.resumed")
        self._started, self._since = started, talk.since
        self._state, self._advisor, self._group = talk.state, talk.advisor, talk.group
        self._target, self._identity = target_from(talk.target), talk.identity
        self._referred_to, self._away = talk.referred_to, talk.away
        caller, joined = self._caller_leg, self._b2bua.joined
        advisor = joined[1] if joined is not None else None
        party = talk.advisor or Party("")
        self.recording.resumed(caller, advisor, party, talk.standing, talk.lives)
        if advisor is not None:
            self._listen_for_codes(advisor)
        self.publish()
        self._settle(now)

    def _memo(self) -> Memo:
        talk = None
        if self._b2bua.answered and self._state != "ringing":
            talk = Talk(
                state=self._state,
                since=self._since,
                advisor=self._advisor,
                group=self._group,
                target=target_to(self._target),
                identity=self._identity,
                referred_to=self._referred_to,
                away=self._away,
                standing=self.recording.standing,
                lives=self.recording.lives,
            )
        return Memo(
            admission=self._admission,
            started=self._started,
            holds=self.recording.early_holds,
            talk=talk,
            legs=self._b2bua.checkpoint(),
        )

    def _remember(self) -> None:
        """Keep what a next life of the process would need, before anybody is told of it."""
        if not self._b2bua.ended:
            self._board.checkpoints.save(self.call_id, self._memo())

    @property
    def _caller_leg(self) -> str:
        return next(k for k, leg in self._b2bua.legs.items() if leg.side is sip.Side.CALLER)

    def start(self, targets: tuple[Target, ...]) -> None:
        """Ring the targets; the caller is answered 480 when there are none."""
        now = time.monotonic()
        self._log.info("call.started", targets=len(targets))
        if self._b2bua.ended:
            pass
        elif targets:
            self._ringing = tuple(Party(t.name, t.user) for t in targets)
            self._ringing += self._behind_the_pbx
            self._b2bua.dial(targets, now)
            self.publish()
        else:
            self._b2bua.reject(480, now)
        self._settle(now)

    def on_sip(self, event: Event) -> None:
        """Take an event of one of this call's legs."""
        now = time.monotonic()
        self._b2bua.handle(event, now)
        self._settle(now)

    def hangup(self, reason: str) -> None:
        """End every leg; `reason` is a Reason header (RFC 3326)."""
        now = time.monotonic()
        self._b2bua.hangup(now, reason)
        self._settle(now)

    def concerns(self, *, extension: str = "", user: str = "") -> bool:
        """Whether the call is with (or, unanswered, rings at) this phone or advisor."""
        parties = (self._advisor,) if self._advisor else self._ringing
        return any(
            (extension and p.extension == extension) or (user and p.user == user) for p in parties
        )

    def on_silence(self, leg_id: str, seconds: float) -> None:
        """No media came from a leg that is not on hold."""
        track = TRACKS[self._b2bua.legs[leg_id].side]
        self._board.hub.alarm("media.silent", self.call_id, f"track {track}")
        self.recording.event("silence", {"track": track, "seconds": seconds})

    def state(self) -> CallState:
        """The whole state, for the desk."""
        return CallState(
            call_id=self.call_id,
            version=self._version,
            started=self._started,
            since=self._since,
            line=self._route.line,
            called=self._admission.called,
            caller=self._admission.caller,
            state=self._state,
            ringing=self._ringing,
            advisor=self._advisor,
            group=self._group if self._advisor and not self._advisor.user else (),
            recording=self.recording.state.value,
            recording_since=self.recording.since,
            holders=self.recording.holders,
            durable=self.recording.durable,
        )

    def publish(self) -> None:
        """Tell the desk the state as it is now; alarm when the recording has become faulty."""
        self._version += 1
        faulty = self.recording.state is RecordingState.FAULT
        if faulty and not self._faulty:
            self._board.hub.alarm("recording.fault", self.call_id)
        self._faulty = faulty
        self._remember()
        self._board.hub.call_changed(self.state())

    def _settle(self, now: float) -> None:
        """After anything that the legs were told: take events, keep the checkpoint, send."""
        while (event := self._b2bua.next_event()) is not None:
            self._dispatch(event, now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._b2bua.next_timer()
        if due is not None:
            delay = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)
        self._remember()
        self._board.flush()

    def _on_timer(self) -> None:
        now = time.monotonic()
        self._b2bua.handle_timer(now)
        self._settle(now)

    def _dispatch(self, event: sip.CallEvent, now: float) -> None:  # noqa: C901 - one case an event
        match event:
            case sip.MediaNegotiated():
                self._negotiated(event)
            case sip.CallAnswered(leg_id, target):
                self._answered(leg_id, target)
            case sip.TransferRequested():
                self._refer(event, now)
            case sip.TransferCompleted(_, leg_id, target):
                self._transferred(leg_id, target)
            case sip.TransferFailed():
                self._transfer_failed(event, now)
            case sip.Recalled(leg_id, target):
                self._back()
                self._talk_with(leg_id, target)
            case sip.InfoReceived() | sip.RecordRequested():
                self._info(event, now)
            case sip.IdentityChanged():
                self._identified(event)
            case sip.CallHeld(_, side) | sip.CallResumed(_, side):
                self._held(side, held=isinstance(event, sip.CallHeld))
            case sip.CallEnded(cause):
                self._ended(cause)
            case sip.LegRinging() | sip.LegEnded() | sip.TransferProgress():
                self._log.debug("call.leg", what=type(event).__name__)

    def _negotiated(self, event: sip.MediaNegotiated) -> None:
        caller = event.side is sip.Side.CALLER
        rule = self._admission.source_rule if caller else self._route.source
        if rule is not None:
            self._board.relay.source_rule(event.leg_id, SourceRule(rule))
        self.recording.negotiated(event)

    def _party(self, target: Target) -> Party:
        """Who answered: the phone's user, or whom a PBX named."""
        if target.pinned or not self._identity:
            return Party(target.name, target.user)
        return Party(self._identity, self._board.router.user_of(self._identity))

    @property
    def _behind_the_pbx(self) -> tuple[Party, ...]:
        return tuple(Party("", user) for user in self._route.advisors)

    def taken(self, advisor: Party) -> None:
        """One of the group says that the call is theirs; a name that the PBX gave comes first."""
        ours = any(party.user == advisor.user for party in self._group)
        if ours and self._advisor is not None and not self._advisor.user:
            self._advisor, self._group = advisor, ()
            fields = {"user": advisor.user, "extension": advisor.extension}
            self.recording.event("advisor", fields)
            self.publish()

    def _answered(self, leg_id: str, target: Target) -> None:
        self._log.info("call.answered")
        self._state, self._since = "answered", time.time()
        self._ringing, self._target = (), target
        self._advisor = self._party(target)
        self._group = () if target.pinned else self._behind_the_pbx
        self.recording.answered(self._caller_leg, leg_id, self._advisor)
        self._listen_for_codes(leg_id)
        self.publish()

    def _listen_for_codes(self, leg_id: str) -> None:
        """Let the advisor's keys, and nobody else's, pause and resume."""
        if self._codes is not None:
            self._board.relay.watch_events(leg_id, self._codes.packet)

    def _on_code(self, code: Code, arrived_mono: float) -> None:
        self._spawn(self._heed(code, Trigger.DTMF, arrived_mono))

    def _heed(
        self, wish: Code, trigger: Trigger, arrived_mono: float
    ) -> Coroutine[None, None, bool]:
        """Shut now; confirm that, or let go, when awaited. The phone itself is the holder."""
        actor = self._actor
        self._wishes += 1
        if wish is Code.RESUME:
            return self._let_go(actor, self._wishes)
        self.recording.shut(actor, trigger, actor, arrived_mono)
        return self._confirm_hold()

    async def _let_go(self, actor: str, wish: int) -> bool:
        """Release, unless a later wish of the phone overtook this one before it began."""
        return self._wishes != wish or await self.release(actor, actor)

    def _talk_with(self, leg_id: str, target: Target) -> None:
        self._target, self._identity = target, ""
        self._ringing, self._group, self._advisor = (), (), self._party(target)
        self.recording.follow(leg_id, self._advisor)
        self._listen_for_codes(leg_id)
        self.publish()

    @property
    def _actor(self) -> str:
        return f"phone:{self._advisor.extension}" if self._advisor else "system"

    def _refer(self, event: sip.TransferRequested, now: float) -> None:
        referral = self._board.router.refer(event.refer_to, now)
        if referral is None or event.side is not sip.Side.ADVISOR:
            self._log.info("transfer.refused")
            self._b2bua.refuse_transfer(event.request_id, 603, now)
            return
        self._log.info("transfer.accepted", destination=referral.destination)
        self._referred_to = referral.destination
        if not self._away:
            self.recording.referred(referral.destination, self._actor, referral.label)
        self._ringing = tuple(Party(t.name, t.user) for t in referral.targets)
        self._b2bua.accept_transfer(event.request_id, referral.targets, now)
        self.publish()

    def _transferred(self, leg_id: str, target: Target) -> None:
        self._log.info("transfer.completed")
        inside = self._referred_to is DestinationClass.CENTRE
        if inside and self._away:
            self.recording.returned()
        self._away = not inside
        self._talk_with(leg_id, target)

    def _transfer_failed(self, event: sip.TransferFailed, now: float) -> None:
        self._log.info("transfer.failed", status=event.status, advisor_gone=event.advisor_gone)
        if not event.advisor_gone:
            self._ringing = ()
            self._back()
        elif self._target is not None:
            self._ringing = (self._party(self._target),)
            self._b2bua.ring_again((self._target,), now)
        self.publish()

    def _back(self) -> None:
        """The call is with whoever tried to send it on; outside the centre that changes nothing."""
        if not self._away:
            self.recording.transfer_failed()

    def _info(self, event: sip.InfoReceived | sip.RecordRequested, now: float) -> None:
        """A key of a code, or the record key; an unknown wish of that is refused and told."""
        if isinstance(event, sip.InfoReceived):
            if event.side is sip.Side.ADVISOR and self._codes is not None:
                self._codes.info(event.request, now)
            return
        wish = record_key(event.value)
        if wish is None:
            self._board.hub.alarm("record_key.unknown", self.call_id)
            self._b2bua.answer_record(event.request_id, 400, now, "Record Is On Or Off")
            return
        done = self._heed(wish, Trigger.PHONE, now)
        self._spawn(self._answer_key(event.request_id, done))

    async def _answer_key(self, request_id: int, done: Coroutine[None, None, bool]) -> bool:
        """Tell the phone 200 once it is durable; the gate has done its part in any case."""
        durable = await done
        now = time.monotonic()
        reason = None if durable else "Not Confirmed On Disk"
        self._b2bua.answer_record(request_id, 200 if durable else 500, now, reason)
        self._settle(now)
        return durable

    async def hold(self, holder: str, trigger: Trigger, actor: str) -> bool:
        """Pause for a payment; True when the pause is durable. The gate is shut in any case."""
        self._log.info("payment.hold", trigger=trigger)
        self.recording.shut(holder, trigger, actor)
        return await self._confirm_hold()

    async def _confirm_hold(self) -> bool:
        return self._confirmed(await self.recording.make_durable())

    async def release(self, holder: str, actor: str) -> bool:
        """A holder lets go; True when that is durable."""
        self._log.info("payment.release")
        return self._confirmed(await self.recording.release(holder, actor))

    def _confirmed(self, durable: bool) -> bool:  # noqa: FBT001 - the disk's answer, passed on
        if not durable:
            self._board.hub.alarm("recording.not_durable", self.call_id)
        return durable

    def _identified(self, event: sip.IdentityChanged) -> None:
        """A PBX names whoever is at the advisor's end (P-Asserted-Identity, Remote-Party-ID).

        A phone that we rang by its registration is who it is; what it says changes nothing.
        """
        user = event.identity.uri.dialled
        if event.side is not sip.Side.ADVISOR or not user or user == self._identity:
            return
        if self._target is not None and self._target.pinned:
            return
        before, self._identity = self._identity, user
        if self._state == "ringing":
            return
        destination = self._board.router.classify(event.identity.uri)
        if event.source.lower() != "contact" and is_handover(before, destination):
            self._group = ()
            self.recording.identified(destination, self._actor)
        if self._target is not None:
            self._advisor = self._party(self._target)
        self.publish()

    def _held(self, side: sip.Side, *, held: bool) -> None:
        self._state = "held" if held else "answered"
        self.recording.event("hold" if held else "resume", {"track": TRACKS[side]})
        self.publish()

    def _ended(self, cause: str) -> None:
        self._log.info("call.ended", cause=cause)
        answered = self._state != "ringing"
        self._state, self._ringing = "ended", ()
        recorded = self.recording.end(cause)
        self._board.checkpoints.remove(self.call_id)
        self._board.hub.call_ended(
            CallEnded(call_id=self.call_id, ended=time.time(), answered=answered and recorded)
        )
        if recorded:
            self._board.hub.spool_closed(self.call_id)
        self._board.forget(self)

    def _spawn(self, work: Coroutine[None, None, bool]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
