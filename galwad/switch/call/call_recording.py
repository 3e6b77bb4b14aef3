"""The recording of one live call: its recorder, its spools and the legs that are recorded.

Before the answer there is no recorder and no spool. Payment pauses that are requested before the
answer are stored in memory, and apply from the first packet of the recording. A call that is not to
be recorded never gets a recorder, and its pauses stay in memory. If a PBX joins it with a recorded
call, the unrecorded call then controls the recording of the recorded call (`join`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from galwad.messages import Party
from galwad.switch.call.checkpoints import AnsweredState, CallPause
from galwad.switch.call.clocks import Now
from galwad.switch.call.spools import CallSpools, SpoolFactory
from recording.policy import (
    PAUSE_TRIGGERS,
    DestinationClass,
    RecordingState,
    RecordingStatus,
    ShutCauses,
    Trigger,
)
from recording.recorder import Recorder
from recording.spool import Clock, Field
from recording.spool.gate import SavedLateness
from recording.spool.packet_counts import Arrivals
from telephony.aio.media_leg import Counters
from telephony.aio.relay import Relay
from telephony.b2bua.events import MediaNegotiated, Side

TRACKS = {Side.CALLER: 0, Side.CALLEE: 1}
"""The track of the recording for the leg on each side of the call."""


class _OneWrite:
    """The `with` block of `CallRecording.one_write`."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        """The recorder of the call at the start of the block; None if there is none."""
        self._depth = 0
        self._blocks: ExitStack | None = None

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1 and self.recorder is not None:
            self.opened(self.recorder)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            blocks, self._blocks = self._blocks, None
            if blocks is not None:
                blocks.close()

    def opened(self, recorder: Recorder) -> None:
        """Let a recorder that is created during a block write its events at the block's end too."""
        if self._depth:
            self._blocks = self._blocks or ExitStack()
            self._blocks.enter_context(recorder.one_write())


class CallRecording:
    """The recording of one call. Other modules need not know whether there is a recorder.

    `on_change` is called if `state`, `holders` or `durable` may have changed, except by a join.
    """

    def __init__(
        self,
        factory: SpoolFactory,
        relay: Relay,
        call_id: str,
        facts: Mapping[str, Field] | None,
        on_change: Callable[[], None],
    ) -> None:
        """`facts` are the fields of the spool's `call` event; None if nothing is to be recorded."""
        self._facts = facts
        self._on_change = on_change
        self._erased_us = factory.erased_us
        self._spools = CallSpools(factory, call_id)
        self._own: Recorder | None = None
        self._early: dict[str, CallPause] = {}
        """The pauses by their holder while this call has no recorder; the oldest pause first."""
        self._legs = RecordedLegs(relay)
        self._started = Clock(0.0, 0.0)
        self.durable = True
        self._block = _OneWrite()
        self._keeper: CallRecording | None = None
        """The recording of the call with which a PBX has joined this call; otherwise None."""
        self._earlier: tuple[RecordingState, float] | None = None
        """The state that an earlier process began and this process continues, and its start in Unix
        seconds; None if there is no such state."""
        self._later_caller: Mapping[str, Field] | None = None
        """The fields of the event about the newest caller; None if the caller has not changed."""

    @property
    def recorder(self) -> Recorder | None:
        """The recorder that this call controls; None if there is none."""
        return self._own if self._keeper is None else self._keeper.recorder

    @property
    def lives(self) -> int:
        """The life number of the call's most recent spool; 0 before the first spool."""
        return self._spools.lives

    @property
    def state(self) -> RecordingState:
        """The state of the recording at present. The page shows this state."""
        if self._keeper is not None:
            return self._keeper.state
        if self.recorder is not None:
            return self.recorder.state
        return RecordingState.PAUSED if self._early else RecordingState.NOT_STARTED

    @property
    def faulty(self) -> bool:
        """True if a disk error prevents recording now, or will prevent it when a pause ends."""
        if self.recorder is None:
            return False
        state = self.recorder.state
        paused_too = state is RecordingState.PAUSED and not self.recorder.status().storage_works
        return state is RecordingState.FAULT or paused_too

    @property
    def disk_error(self) -> str:
        """The text of the most recent disk error; empty if there was no error."""
        error = self.recorder.storage.error if self.recorder is not None else None
        return "" if error is None else str(error)

    @property
    def since(self) -> float:
        """The Unix time in seconds at which the present `state` began; 0 without a recorder.

        The time is wrong while `join` is in effect. The desk does not show the call then.
        """
        if self._earlier is not None:
            return self._earlier[1]
        since_us = self.recorder.status().since_us if self.recorder is not None else 0
        return self._started.wall + since_us / 1e6

    @property
    def holders(self) -> tuple[str, ...]:
        """The pause holders that keep the recording paused for a payment."""
        return tuple(pause.holder for pause in self.pauses)

    @property
    def pauses(self) -> tuple[CallPause, ...]:
        """The pauses in force, whether the call has a recorder or not; the oldest pause first."""
        if self._keeper is not None:
            return self._keeper.pauses
        recorded = (CallPause(holder, c.trigger, c.actor) for holder, c in self.shut_causes.pauses)
        return (*self._early.values(), *recorded)

    @property
    def early_pauses(self) -> tuple[CallPause, ...]:
        """The pauses of a call without a recorder. They apply if the call gets a recorder."""
        return tuple(self._early.values())

    @property
    def shut_causes(self) -> ShutCauses:
        """The causes that keep the gate shut at present, which the checkpoint saves."""
        return ShutCauses() if self.recorder is None else self.recorder.shut_causes

    @property
    def lateness(self) -> SavedLateness | None:
        """The state by which late packets of a pause are recognised; None without a recorder."""
        return None if self.recorder is None else self.recorder.lateness

    def answered(
        self,
        caller_leg: str,
        advisor_leg: str,
        party: Party,
        now: Now,
        *,
        destination: DestinationClass,
        trigger: Trigger,
        actor: str,
    ) -> None:
        """Open a spool, and record the audio of the two legs from the answer on.

        `party` is the party that answered. `now.arrived` is the time of the answer. If the call is
        not to be recorded, do nothing. If the class `destination` of the party is not the centre,
        the gate stays shut, and the gap gets `trigger` and `actor`.
        """
        if self._facts is None:
            return
        with self.one_write():
            recorder = self._begin(self._facts, now.at_arrival)
            for pause in self._early.values():
                recorder.pause(pause.holder, pause.trigger, pause.actor)
            self._early.clear()
            outside = destination is not DestinationClass.CENTRE
            if outside:
                recorder.identity_changed(actor, trigger=trigger)
                recorder.identity_classed(destination)
            self._legs.connect(recorder, caller_leg, advisor_leg)
            recorder.answered(party.user, party.extension, arrived_mono=now.arrived)
            if outside:
                self.triggered(trigger, actor, now.arrived)
        self._start(recorder)

    def resumed(
        self,
        caller_leg: str,
        advisor_leg: str | None,
        party: Party,
        before: AnsweredState,
        now: Now,
    ) -> None:
        """Continue a call that was answered before a restart, in a new spool.

        `before` is the state that was saved before the restart. The new spool gets a higher life
        number than `before.lives`. The causes in `before.shut_causes` keep the gate shut.
        """
        self._spools.follow(before.lives)
        if self._facts is None:
            return
        answered = before.answered_at
        with self.one_write():
            recorder = self._begin(self._facts, now)
            self._legs.connect(recorder, caller_leg, advisor_leg)
            since_us = round((now.mono - answered) * 1e6) if answered else 0
            recorder.restored(
                before.shut_causes, party.user, party.extension, since_us, before.lateness
            )
        self._start(recorder)
        if self.state is before.recording:
            self._earlier = before.recording, before.recording_since
            self._on_change()

    def rang_before(self) -> None:
        """Note that the call rang before a restart: the earlier process may have made a spool."""
        self._spools.follow()

    def one_write(self) -> _OneWrite:
        """Write the events of the `with` block to the spool together, at the end of the block.

        This also applies to a spool that is opened in the block. A block inside another block
        has no effect of its own.
        """
        self._block.recorder = self._own
        return self._block

    def _begin(self, facts: Mapping[str, Field], started: Clock) -> Recorder:
        self._started = started
        self._own = recorder = self._spools.recorder(started, self._changed)
        self._block.opened(recorder)
        recorder.event("call", facts)
        if self._later_caller is not None:
            recorder.event("caller", self._later_caller)
        return recorder

    def _start(self, recorder: Recorder) -> None:
        recorder.catch_up = self._legs.catch_up
        recorder.start()

    def follow(self, advisor_leg: str, party: Party) -> None:
        """Record the audio of `advisor_leg` from now on. Name `party` in the spool."""
        self._legs.follow(advisor_leg)
        self.advisor(party)

    def advisor(self, party: Party) -> None:
        """Write to the spool that `party` has the call at the advisor's end from now on."""
        self.event("advisor", {"user": party.user, "extension": party.extension})

    def negotiated(self, event: MediaNegotiated) -> None:
        """Store the codecs that `event` reports (see `RecordedLegs.negotiated`)."""
        self._legs.negotiated(event)

    def shut(
        self,
        pause: CallPause,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> None:
        """Shut the gate for a pause without waiting for the disk.

        Without a recorder, the pause is only stored. The request arrived at `arrived_mono` (None:
        now). It began at `begun_mono`, for example with the first digit of a code (None: when it
        arrived). Both times are in monotonic seconds.
        """
        if self._keeper is not None:
            self._keeper.shut(pause, arrived_mono, begun_mono)
        elif self.recorder is None:
            self._early.setdefault(pause.holder, pause)
            self._on_change()
        else:
            times = {"arrived_mono": arrived_mono, "begun_mono": begun_mono}
            self.recorder.pause(pause.holder, pause.trigger, pause.actor, **times)

    def triggered(
        self,
        trigger: Trigger,
        actor: str,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> None:
        """Write to the spool that a trigger has arrived. Call this only after the gate is shut.

        The writing may wait for the disk. The event is written even if the trigger had no effect,
        so that a check notices a trigger without a gap. The times are as in `shut`.
        """
        took_s = 0.0
        if arrived_mono is not None and begun_mono is not None:
            took_s = arrived_mono - begun_mono
        is_pause = trigger in PAUSE_TRIGGERS
        fields: dict[str, Field] = {
            "trigger": trigger.value,
            "actor": actor,
            "erase_us": self._erased_us(took_s) if is_pause else 0,
        }
        self.event("trigger", fields, arrived_mono)

    async def make_durable(self) -> bool:
        """Return whether the disk confirms all data in 250 ms; True without a recorder."""
        if self._keeper is not None:
            return await self._keeper.make_durable()
        return self._note(durable=self.recorder is None or await self.recorder.make_durable())

    async def resume(self, holder: str, actor: str) -> bool:
        """Remove the pause holder `holder`. Return whether the disk confirmed this within 5 s.

        After the confirmation, the gate opens unless another cause keeps the gate shut. Without the
        confirmation, a storage fault keeps the gate shut.
        """
        if self._keeper is not None:
            return await self._keeper.resume(holder, actor)
        self._early.pop(holder, None)
        durable = self.recorder is None or await self.recorder.resume(holder, actor)
        return self._note(durable=durable)

    def referred(
        self,
        destination: DestinationClass,
        actor: str,
        label: str,
        now: Now,
        *,
        trigger: Trigger = Trigger.REFER,
    ) -> None:
        """Shut the gate from `now.arrived` if the advisor transfers to a party outside the centre.

        For a party within the centre, a new segment begins if the gate is open. `label` is the
        settings' pattern for the target, the extension of one of our phones, or "".
        """
        if self.recorder is None:
            return
        self.recorder.referred(destination, actor, label, trigger=trigger, arrived_mono=now.arrived)
        if destination is not DestinationClass.CENTRE:
            self.triggered(trigger, actor, now.arrived)

    def transfer_failed(self, now: Now) -> None:
        """Open the gate after a failed transfer, unless another cause keeps the gate shut."""
        if self.recorder is not None:
            self.recorder.transfer_failed(arrived_mono=now.arrived)

    def returned(self, now: Now) -> None:
        """Open the gate, unless another cause keeps it shut: the call is back in the centre."""
        if self.recorder is not None:
            self.recorder.returned(arrived_mono=now.arrived)

    def identified(
        self,
        destination: DestinationClass,
        actor: str,
        now: Now,
        *,
        trigger: Trigger = Trigger.IDENTITY,
    ) -> None:
        """Shut the gate if a PBX names a new party (RFC 3325) outside the centre.

        The party is at the advisor's end. `trigger` says how it was named. If an earlier name has
        shut the gate, a party in the centre ends this effect. If the gate is open, a party in the
        centre begins a new segment. The change takes effect from `now.arrived`.
        """
        if self.recorder is None:
            return
        inside, arrived = destination is DestinationClass.CENTRE, now.arrived
        if inside and self.recorder.shut_causes.identity is None:
            self.recorder.referred(destination, actor, arrived_mono=arrived)
            return
        if not inside:
            self.recorder.identity_changed(actor, trigger=trigger, arrived_mono=arrived)
        self.recorder.identity_classed(destination, arrived_mono=arrived)
        if not inside:
            self.triggered(trigger, actor, arrived)

    def caller_changed(self, fields: Mapping[str, Field], now: Now, *, known: bool = False) -> None:
        """Write to the spool the caller whom a trunk has named during the call.

        `fields` are the fields `number` and `withheld`. `now.arrived` is the time at which the
        trunk named the caller. Without a spool, the fields are written when the next spool begins.
        If `known` is true, an earlier spool of the call contains them already.
        """
        self._later_caller = {**fields, "known": known}
        self.event("caller", self._later_caller, now.arrived)

    def tick(self) -> None:
        """Write the audio that waits in memory to the spool file, without waiting for the disk."""
        if self.recorder is not None:
            self.recorder.tick()

    def event(
        self, kind: str, fields: Mapping[str, Field], arrived_mono: float | None = None
    ) -> None:
        """Append an event to the spool, if there is one."""
        if self.recorder is not None:
            self.recorder.event(kind, fields, arrived_mono=arrived_mono)

    def end(self, cause: str, now: Now) -> bool:
        """Close the spool of a call that has ended, and return whether the call has a spool.

        After this, `on_change` is not called, even if a pause still waits for the disk.
        `now.arrived` is the time of the end.
        """
        self._keeper = None
        if self._own is not None:
            self._own.close(cause, arrived_mono=now.arrived)
        self._on_change = _ignore
        return self._own is not None and self._own.writer is not None

    def discard(self, cause: str, now: Now) -> None:
        """Remove the only spool of a call that has ended, because nothing of it is to be kept."""
        if self._own is not None:
            self._own.discard(cause, arrived_mono=now.arrived)
        self._on_change = _ignore

    def join(self, keeper: CallRecording) -> None:
        """Let this unrecorded call control the recording `keeper` from now on.

        The legs of this call are not recorded. Its pauses and transfers apply to `keeper`.
        """
        self._early.clear()
        self._keeper = keeper

    def part(self) -> None:
        """End the effect of `join`."""
        self._keeper = None

    def _note(self, *, durable: bool) -> bool:
        self.durable = durable
        self._on_change()
        return durable

    def _changed(self, status: RecordingStatus) -> None:
        if self._earlier is not None and self._earlier[0] is not status.state:
            self._earlier = None
        self._on_change()


def _ignore() -> None:
    """Do nothing after a change in a call that has ended."""


class RecordedLegs:
    """Connects the legs of one call with the call's recorder.

    The media relay gives the media of these legs to the recorder's tap, a function that receives
    packets.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._recorder: Recorder | None = None
        self._negotiated: dict[str, MediaNegotiated] = {}
        self._tracks: dict[str, int] = {}
        self._counting: dict[int, tuple[Counters, Arrivals]] = {}
        """For each track, the counters of the present leg, and the counts when it was attached."""
        self._earlier: dict[int, Arrivals] = {}
        """For each track, the sums of the counts of its earlier legs."""

    def connect(self, recorder: Recorder, caller_leg: str, advisor_leg: str | None) -> None:
        """Record the audio of the legs `caller_leg` and `advisor_leg` with `recorder` from now on.

        `advisor_leg` is None if the caller talks with no party at present.
        """
        self._recorder = recorder
        recorder.packets.arrivals = self.arrivals
        self._tracks = {caller_leg: TRACKS[Side.CALLER]}
        self._attach(caller_leg, recorder)
        if advisor_leg is not None:
            self.follow(advisor_leg)

    def follow(self, advisor_leg: str) -> None:
        """From now on, record the audio of `advisor_leg` on track 1, the advisor's track.

        The leg that was recorded on track 1 before is not recorded any more. Without a recorder,
        nothing happens.
        """
        if self._recorder is None:
            return
        for leg_id, track in list(self._tracks.items()):
            if track == TRACKS[Side.CALLEE]:
                del self._tracks[leg_id]
                self._relay.set_tap(leg_id, track, None)
                self._earlier[track] = self.arrivals(track)
                self._counting.pop(track, None)
        self._tracks[advisor_leg] = TRACKS[Side.CALLEE]
        counters = self._attach(advisor_leg, self._recorder)
        self._recorder.attached(TRACKS[Side.CALLEE], counters.last if counters else None)

    def negotiated(self, event: MediaNegotiated) -> None:
        """Store the codecs of a leg, and write them to the spool if the leg is recorded."""
        self._negotiated[event.leg_id] = event
        if self._recorder is not None and event.leg_id in self._tracks:
            self._record_media(event.leg_id, self._recorder)

    def catch_up(self) -> None:
        """Make the relay handle all packets of these legs that have already arrived."""
        self._relay.drain(*self._tracks)

    def arrivals(self, track: int) -> Arrivals:
        """Return the counts of a track's packets, as the relay has counted them on all its legs.

        Packets that arrived before a leg was attached are not counted.
        """
        earlier = self._earlier.get(track, Arrivals())
        if track not in self._counting:
            return earlier
        counters, base = self._counting[track]
        return earlier.plus(_arrivals(counters) - base)

    def _attach(self, leg_id: str, recorder: Recorder) -> Counters | None:
        self._record_media(leg_id, recorder)
        track = self._tracks[leg_id]
        listeners = recorder.tap, recorder.media_lost, recorder.media_reported
        counters = self._relay.set_tap(leg_id, track, *listeners)
        if counters is not None:
            self._counting[track] = counters, _arrivals(counters)
        return counters

    def _record_media(self, leg_id: str, recorder: Recorder) -> None:
        event = self._negotiated.get(leg_id)
        if event is not None:
            payloads = {
                number: (name, rate, channels, fmtp)
                for number, name, rate, channels, fmtp in event.payloads
            }
            recorder.media(self._tracks[leg_id], payloads)


def _arrivals(counters: Counters) -> Arrivals:
    return Arrivals(counters.received, counters.refused, counters.unwanted)
