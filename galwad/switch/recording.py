"""The recording of one live call: its recorder, and the track of each leg.

There is no spool before the answer. Payment pauses that come earlier are kept here and are in force
from the first packet on. A call that is not to be recorded has the same interface and stores
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from galwad.messages import Party
from galwad.switch.checkpoint import EarlyHold
from galwad.switch.spools import SpoolRoom
from recording.policy import DestinationClass, RecordingState, ShutCauses, Trigger
from recording.recorder import Recorder, RecordingStatus
from recording.spool import Clock, Field, SpoolWriter
from telephony.aio.relay import Relay
from telephony.b2bua.events import MediaNegotiated, Side

log = structlog.get_logger()
TRACKS = {Side.CALLER: 0, Side.CALLEE: 1}


class CallRecording:
    """The policy, gate and spool of one call, for the call's other parts.

    `on_change` is called whenever `state`, `holders` or `durable` may have changed.
    """

    def __init__(
        self,
        room: SpoolRoom,
        relay: Relay,
        call_id: str,
        facts: Mapping[str, Field] | None,
        on_change: Callable[[], None],
    ) -> None:
        """Start without a spool; `facts` are the `call` event's fields, None: do not record."""
        self._room = room
        self._relay = relay
        self._call_id = call_id
        self._facts = facts
        self._on_change = on_change
        self._recorder: Recorder | None = None
        self._early: dict[str, EarlyHold] = {}
        self._negotiated: dict[str, MediaNegotiated] = {}
        self._legs: dict[str, int] = {}
        self._started = Clock(time.time(), time.monotonic())
        self.durable = True
        self.lives = 0
        """The number of spools of this call so far.

        Each process that continues the call begins a new one, and so does a change of disk.
        """

    @property
    def state(self) -> RecordingState:
        """The recording's real state, which the page shows."""
        if self._recorder is not None:
            return self._recorder.state
        return RecordingState.PAUSED if self._early else RecordingState.NOT_STARTED

    @property
    def faulty(self) -> bool:
        """True if the disk prevents recording, now or when the present pause ends."""
        if self._recorder is None:
            return False
        state = self._recorder.state
        paused_too = state is RecordingState.PAUSED and not self._recorder.status().storage_works
        return state is RecordingState.FAULT or paused_too

    @property
    def disk_error(self) -> str:
        """The last error of the disk; empty if there has been none."""
        error = None if self._recorder is None else self._recorder.storage.error
        return "" if error is None else str(error)

    @property
    def since(self) -> float:
        """The Unix time, in seconds, at which the state began; 0 before the answer."""
        if self._recorder is None:
            return 0.0
        return self._started.wall + self._recorder.status().since_us / 1e6

    @property
    def holders(self) -> tuple[str, ...]:
        """The pause holders: those who keep the recording paused for a payment."""
        return tuple(self._early) if self._recorder is None else self._recorder.pause_holders

    @property
    def early_holds(self) -> tuple[EarlyHold, ...]:
        """Pauses that wait for the answer, or for the recorded call that this one joins."""
        return tuple(self._early.values())

    @property
    def standing(self) -> ShutCauses:
        """The causes that keep the gate shut, for `restored` in the next process."""
        return ShutCauses() if self._recorder is None else self._recorder.shut_causes

    def answered(self, caller_leg: str, advisor_leg: str, party: Party) -> None:
        """Open the spool and record from the next packet on."""
        recorder = self._begin()
        if recorder is None:
            return
        for holder, early in self._early.items():
            recorder.pause(holder, early.trigger, early.actor)
        self._early.clear()
        self._tap(caller_leg, advisor_leg)
        recorder.answered(party.user, party.extension)
        self._start(recorder)

    def resumed(
        self,
        caller_leg: str,
        advisor_leg: str | None,
        party: Party,
        standing: ShutCauses,
        *,
        lives: int,
        answered: float,
    ) -> None:
        """Continue a call that was answered before a restart, in a further spool.

        `lives` is the number of spools that the call has had; their numbers are not used again.
        `answered` is the time of the answer on the monotonic clock; 0: not known.
        """
        self.lives = lives
        recorder = self._begin()
        if recorder is None:
            return
        self._tap(caller_leg, advisor_leg)
        since_us = round((self._started.mono - answered) * 1e6) if answered else 0
        recorder.restored(standing, party.user, party.extension, since_us)
        self._start(recorder)

    def _begin(self) -> Recorder | None:
        if self._facts is None:
            return None
        self._started = Clock(time.time(), time.monotonic())
        self._recorder = self._room.recorder(
            self._open_next, self._open_spare, self._started, self._changed
        )
        self._recorder.event("call", self._facts)
        return self._recorder

    def _start(self, recorder: Recorder) -> None:
        """Start the recorder's ticks, and discard late packets before each opening of the gate.

        From now on a gate that opens was shut before. Packets that still wait in the sockets at
        that moment arrived while it was shut, so they are read first and not stored.
        """
        recorder.before_open = lambda: self._relay.drain(*self._legs)
        recorder.start()

    def _open_next(self) -> SpoolWriter:
        """Open the call's next spool: the first, or another one if the last one's disk is gone."""
        return self._open_by(self._room.open)

    def _open_spare(self) -> SpoolWriter:
        """Open the next spool on the spare disk, because the last one's disk fails."""
        return self._open_by(self._room.open_spare)

    def _open_by(self, make: Callable[[str, int, Clock], SpoolWriter]) -> SpoolWriter:
        life = self._room.next_life(self._call_id, self.lives)
        writer = make(self._call_id, life, self._started)
        if self._recorder is not None and self._recorder.writer is not None:
            log.warning("recording.moved", call_id=self._call_id, spool=life)
        self.lives = life
        return writer

    def _tap(self, caller_leg: str, advisor_leg: str | None) -> None:
        self._legs = {caller_leg: TRACKS[Side.CALLER]}
        self._attach(caller_leg)
        if advisor_leg is not None:
            self._use(advisor_leg)

    def follow(self, advisor_leg: str, party: Party) -> None:
        """Record another leg as the advisor's from now on."""
        if self._recorder is not None:
            self._use(advisor_leg)
            self._recorder.event("advisor", {"user": party.user, "extension": party.extension})

    def negotiated(self, event: MediaNegotiated) -> None:
        """Note the agreed media of a leg; the decoder needs it before the leg's first packet."""
        self._negotiated[event.leg_id] = event
        if event.leg_id in self._legs:
            self._tell_media(event.leg_id)

    async def hold(
        self, holder: str, trigger: Trigger, actor: str, arrived_mono: float | None = None
    ) -> bool:
        """Shut the gate at once, then wait for the disk; return whether the pause is durable."""
        self.shut(holder, trigger, actor, arrived_mono)
        return await self.make_durable()

    def shut(
        self, holder: str, trigger: Trigger, actor: str, arrived_mono: float | None = None
    ) -> None:
        """Shut the gate for `holder` without waiting for the disk."""
        if self._recorder is None:
            self._early.setdefault(holder, EarlyHold(holder, trigger, actor))
            self._on_change()
        else:
            self._recorder.pause(holder, trigger, actor, arrived_mono=arrived_mono)

    async def make_durable(self) -> bool:
        """Wait until the disk has what was recorded; return whether it confirmed that in time."""
        durable = self._recorder is None or await self._recorder.make_durable()
        return self._note(durable=durable)

    async def release(self, holder: str, actor: str) -> bool:
        """Remove a pause holder; once that is durable, open the gate if nothing else shuts it."""
        if self._recorder is None:
            self._early.pop(holder, None)
            return self._note(durable=True)
        return self._note(durable=await self._recorder.resume(holder, actor))

    def referred(self, destination: DestinationClass, actor: str, label: str) -> None:
        """Shut the gate if the advisor transfers the call out of the centre.

        A transfer within the centre begins a new segment. `label` is the name of the target in
        the settings.
        """
        if self._recorder is not None:
            self._recorder.referred(destination, actor, label)

    def transfer_failed(self) -> None:
        """After a failed transfer, open the gate again unless another cause shuts it."""
        if self._recorder is not None:
            self._recorder.transfer_failed()

    def returned(self) -> None:
        """Open the gate, unless another cause shuts it: the call is back in the centre."""
        if self._recorder is not None:
            self._recorder.returned()

    def identified(self, destination: DestinationClass, actor: str) -> None:
        """Shut the gate if the advisor's side is a new party (RFC 3325) outside the centre."""
        if self._recorder is not None:
            self._recorder.identity_changed(actor)
            self._recorder.identity_classed(destination)

    def tick(self) -> None:
        """Write the audio that has gathered to the kernel."""
        if self._recorder is not None:
            self._recorder.tick()

    def event(self, kind: str, fields: Mapping[str, Field]) -> None:
        """Append an event to the spool, if the call is recorded."""
        if self._recorder is not None:
            self._recorder.event(kind, fields)

    def end(self, cause: str) -> bool:
        """Close the spool; return False if there is no spool.

        A call that is not recorded has no spool, nor has one whose disk never accepted it.
        """
        if self._recorder is None:
            return False
        self._recorder.ended(cause)
        self._recorder.close()
        return self._recorder.writer is not None

    def _use(self, advisor_leg: str) -> None:
        for leg_id, track in list(self._legs.items()):
            if track == TRACKS[Side.CALLEE]:
                del self._legs[leg_id]
                self._relay.set_tap(leg_id, track, None)
        self._legs[advisor_leg] = TRACKS[Side.CALLEE]
        self._attach(advisor_leg)

    def _attach(self, leg_id: str) -> None:
        if self._recorder is not None:
            self._tell_media(leg_id)
            track = self._legs[leg_id]
            self._relay.set_tap(leg_id, track, self._recorder.tap)

    def _tell_media(self, leg_id: str) -> None:
        event = self._negotiated.get(leg_id)
        if event is not None:
            payloads: dict[str, Field] = {
                str(number): [name, clock, channels, fmtp]
                for number, name, clock, channels, fmtp in event.payloads
            }
            self.event("media", {"track": self._legs[leg_id], "payloads": payloads})

    def _note(self, *, durable: bool) -> bool:
        self.durable = durable
        self._on_change()
        return durable

    def _changed(self, _snapshot: RecordingStatus) -> None:
        self._on_change()
