"""The recording of one live call: its recorder, its spools and the legs that are recorded.

There is no spool before the answer. Payment pauses that come earlier are kept (`no_recorder.py`)
and are in force from the first packet on. A call that is not to be recorded has the same interface
and stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from galwad.messages import Party
from galwad.switch.checkpoint import EarlyPause
from galwad.switch.no_recorder import NoRecorder
from galwad.switch.recorded_legs import RecordedLegs
from galwad.switch.spools import CallSpools, SpoolFactory
from recording.policy import DestinationClass, RecordingState, ShutCauses, Trigger
from recording.recorder import Recorder, RecordingStatus
from recording.spool import Clock, Field
from telephony.aio.relay import Relay
from telephony.b2bua.events import MediaNegotiated


class CallRecording:
    """The policy, gate and spools of one call, for the call's other parts.

    `on_change` is called whenever `state`, `holders` or `durable` may have changed. Most methods
    pass a fact on to the recorder; they are here so that no other part of a call knows whether it
    has one.
    """

    def __init__(
        self,
        factory: SpoolFactory,
        relay: Relay,
        call_id: str,
        facts: Mapping[str, Field] | None,
        on_change: Callable[[], None],
    ) -> None:
        """Start without a spool; `facts` are the `call` event's fields, None: do not record."""
        self._facts = facts
        self._on_change = on_change
        self._spools = CallSpools(factory, call_id)
        self._early = NoRecorder(on_change)
        self._recorder: Recorder | NoRecorder = self._early
        self._legs = RecordedLegs(relay, self._early)
        self._started = Clock(0.0, 0.0)
        self.durable = True

    @property
    def lives(self) -> int:
        """The number of spools of this call so far."""
        return self._spools.lives

    @property
    def state(self) -> RecordingState:
        """The recording's real state, which the page shows."""
        return self._recorder.state

    @property
    def faulty(self) -> bool:
        """True if the disk prevents recording, now or when the present pause ends."""
        state = self._recorder.state
        paused_too = state is RecordingState.PAUSED and not self._recorder.status().storage_works
        return state is RecordingState.FAULT or paused_too

    @property
    def disk_error(self) -> str:
        """The last error of the disk; empty if there has been none."""
        error = self._recorder.storage.error
        return "" if error is None else str(error)

    @property
    def since(self) -> float:
        """The Unix time, in seconds, at which the state began; 0 before the answer."""
        return self._started.wall + self._recorder.status().since_us / 1e6

    @property
    def holders(self) -> tuple[str, ...]:
        """The pause holders: those who keep the recording paused for a payment."""
        return self._recorder.pause_holders

    @property
    def early_pauses(self) -> tuple[EarlyPause, ...]:
        """Pauses that wait for the answer, or for the recorded call that this one joins."""
        return self._early.pauses

    @property
    def shut_causes(self) -> ShutCauses:
        """The causes that keep the gate shut, for `resumed` in the next process."""
        return self._recorder.shut_causes

    def answered(self, caller_leg: str, advisor_leg: str, party: Party, now: Clock) -> None:
        """Open the spool and record from the next packet on."""
        if self._facts is None:
            return
        recorder = self._begin(self._facts, now)
        for pause in self._early.pauses:
            recorder.pause(pause.holder, pause.trigger, pause.actor)
        self._early.clear()
        self._legs.connect(recorder, caller_leg, advisor_leg)
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
        now: Clock,
    ) -> None:
        """Continue a call that was answered before a restart, in a further spool.

        `lives` is the number of spools that the call has had; their numbers are not used again.
        `answered` is the time of the answer on the monotonic clock; 0: not known.
        """
        self._spools.lives = lives
        if self._facts is None:
            return
        recorder = self._begin(self._facts, now)
        self._legs.connect(recorder, caller_leg, advisor_leg)
        since_us = round((now.mono - answered) * 1e6) if answered else 0
        recorder.restored(standing, party.user, party.extension, since_us)
        self._start(recorder)

    def _begin(self, facts: Mapping[str, Field], now: Clock) -> Recorder:
        self._started = now
        self._recorder = recorder = self._spools.recorder(now, self._changed)
        recorder.event("call", facts)
        return recorder

    def _start(self, recorder: Recorder) -> None:
        """Start the recorder's ticks, and discard late packets before each opening of the gate.

        From now on a gate that opens was shut before. Packets that still wait in the sockets at
        that moment arrived while it was shut, so they are read first and not stored.
        """
        recorder.before_open = self._legs.catch_up
        recorder.start()

    def follow(self, advisor_leg: str, party: Party) -> None:
        """Record another leg as the advisor's from now on."""
        self._legs.follow(advisor_leg)
        self._recorder.event("advisor", {"user": party.user, "extension": party.extension})

    def negotiated(self, event: MediaNegotiated) -> None:
        """Note the agreed media of a leg; the decoder needs it before the leg's first packet."""
        self._legs.negotiated(event)

    def shut(
        self, holder: str, trigger: Trigger, actor: str, arrived_mono: float | None = None
    ) -> None:
        """Shut the gate for `holder` without waiting for the disk."""
        self._recorder.pause(holder, trigger, actor, arrived_mono=arrived_mono)

    async def make_durable(self) -> bool:
        """Wait until the disk has what was recorded; return whether it confirmed that in time."""
        return self._note(durable=await self._recorder.make_durable())

    async def resume(self, holder: str, actor: str) -> bool:
        """Remove a pause holder; once that is durable, open the gate if nothing else shuts it."""
        return self._note(durable=await self._recorder.resume(holder, actor))

    def referred(self, destination: DestinationClass, actor: str, label: str) -> None:
        """Shut the gate if the advisor transfers the call out of the centre.

        A transfer within the centre begins a new segment. `label` is the name of the target in
        the settings.
        """
        self._recorder.referred(destination, actor, label)

    def transfer_failed(self) -> None:
        """After a failed transfer, open the gate again unless another cause shuts it."""
        self._recorder.transfer_failed()

    def returned(self) -> None:
        """Open the gate, unless another cause shuts it: the call is back in the centre."""
        self._recorder.returned()

    def identified(self, destination: DestinationClass, actor: str) -> None:
        """Shut the gate if the advisor's side is a new party (RFC 3325) outside the centre."""
        self._recorder.identity_changed(actor)
        self._recorder.identity_classed(destination)

    def tick(self) -> None:
        """Write the audio that has gathered to the kernel."""
        self._recorder.tick()

    def event(self, kind: str, fields: Mapping[str, Field]) -> None:
        """Append an event to the spool, if the call is recorded."""
        self._recorder.event(kind, fields)

    def end(self, cause: str) -> bool:
        """Close the spool; return False if there is no spool.

        A call that is not recorded has no spool, nor has one whose disk never accepted it.
        """
        self._recorder.ended(cause)
        self._recorder.close()
        return self._recorder.writer is not None

    def _note(self, *, durable: bool) -> bool:
        self.durable = durable
        self._on_change()
        return durable

    def _changed(self, _snapshot: RecordingStatus) -> None:
        self._on_change()
