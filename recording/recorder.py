"""One call's recorder: applies the recording policy to the gate and to the spool behind it.

Everything except waiting for the disk is synchronous and runs in the event loop's thread. The
recorder passes each fact to the policy and carries out the resulting outputs at once, in this
order: it moves the gate, erases what must be erased, then writes the events that record it. Events
that the disk refuses wait in memory and are written first when the disk takes writes again. Media
is never kept in memory for later.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from recording.errors import RecordingError, SpoolSyncError, SpoolWriteError
from recording.policy import (
    DestinationClass,
    EraseBackTo,
    GapEnded,
    GapStarted,
    NewSegment,
    Open,
    Output,
    Policy,
    RecordingState,
    Shut,
    ShutCauses,
    Trigger,
)
from recording.spool.gate import FAILURES, RecordingGate, Tap
from recording.spool.intervals import TICK_S
from recording.spool.records import Clock, Field
from recording.spool.storage import SpoolStorage
from recording.spool.sync import SpoolSync
from recording.spool.writer import SpoolWriter
from recording.status import RecordingStatus, StatusNotifier

__all__ = ["Recorder", "RecordingStatus"]

RELEASE_TIMEOUT_S = 5.0
"""A disk that needs longer than this (s) to sync a few kilobytes counts as failed."""
CLOCK_EVENT_US = 60_000_000
"""Interval at which the wall clock is recorded, so that its jumps show in the manifest; in µs."""


class Recorder:
    """Stores the parts of one call that the policy allows.

    Call every method in the loop's thread. It is one class because each method passes one fact to
    the policy and carries out the outputs in one queue; the disk is `SpoolStorage`'s.
    """

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        started: Clock,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tick_s: float = TICK_S,
        erase_back_s: float = 0.0,
        on_change: Callable[[RecordingStatus], None] | None = None,
        sync: SpoolSync | None = None,
        open_on_other_disk: Callable[[], SpoolWriter] | None = None,
    ) -> None:
        """Open the spool. If the disk refuses, the recorder starts in fault and tries again.

        Args:
            open_spool: Makes the call's next spool, with offset 0 at `started`. It is called again
                when the disk of the last spool stays away.
            started: The call's start by the monotonic and the wall clock.
            clock: The monotonic clock, in seconds.
            wall: The wall clock, in Unix seconds.
            tick_s: Seconds between two ticks: `recording.spool.intervals.tick_for` of the lookback.
            erase_back_s: A payment pause also makes unreadable what was recorded this many seconds
                before it, as far as the lookback allows.
            on_change: Receives the new status after each change.
            sync: Syncs the spool folder once a second; None: no such thread reports here.
            open_on_other_disk: Makes the next spool on another disk, when the last spool's disk
                goes on failing. None: there is no other disk.
        """
        self.gate = RecordingGate(started.mono, self._disk_failed)
        self.before_open: Callable[[], None] = lambda: None
        """Called before the gate opens, to read packets that arrived while it was shut, so that
        they are dropped."""
        self._started = started
        self._clock = clock
        self._wall = wall
        self._erase_back_us = int(erase_back_s * 1_000_000)
        self._tick_s = tick_s
        self._tick_at = 0.0
        self._sync = sync
        self._policy = Policy()
        synced = None if sync is None else sync.folder
        self.storage = SpoolStorage(
            open_spool, self._now, self._disk_failed, open_on_other_disk, synced
        )
        self._queue: deque[Output] = deque()
        self._executing = False
        self._segment_fields = _CENTRE
        self._pause_count: dict[str, int] = {}
        self._clock_due_us = 0
        self._stored_before = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._notifier = StatusNotifier(self._policy, on_change)
        if sync is not None:
            sync.attach(self)
        try:
            self._drain()
        except FAILURES as error:
            self._disk_failed(error)

    @property
    def state(self) -> RecordingState:
        """The state that the page shows."""
        return self._policy.state

    @property
    def gate_open(self) -> bool:
        """True if packets are stored at present."""
        return self.gate.is_open

    @property
    def pause_holders(self) -> tuple[str, ...]:
        """The pause holders that keep the gate shut for a payment, longest first."""
        return self._policy.pause_holders

    @property
    def writer(self) -> SpoolWriter | None:
        """The spool behind the gate; None until one could be opened."""
        return self.storage.writer

    def status(self) -> RecordingStatus:
        """Return the status that `on_change` received last."""
        return self._notifier.last

    @property
    def tap(self) -> Tap:
        """The function that the relay calls with each packet of a recorded leg.

        While the gate is shut, nothing is stored. Packets that arrived before the gate opened are
        also dropped, however late the relay passes them on. Of a telephone-event only the fixed RTP
        header is stored.
        """
        return self.gate.store

    def start(self) -> None:
        """Tick on the running loop until `close`, starting at a random phase."""
        loop = asyncio.get_running_loop()
        phase = random.uniform(0.0, self._tick_s)  # noqa: S311 - spreads work, hides nothing
        self._tick_at = loop.time() + phase
        self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def tick(self) -> None:
        """Write what has gathered to the spool file; after a fault, try the disk again."""
        if self._closed:
            return
        if not self._policy.storage_works:
            self._try_recovery()
            return
        now = self._now()
        if now >= self._clock_due_us and self.state is not RecordingState.ENDED:
            self._clock_due_us = now + CLOCK_EVENT_US
            self._put_event("clock", {"wall": self._wall()}, now)
        elif self._nothing_stored() and self.state is not RecordingState.ENDED:
            # If the process dies in a gap, or while neither party sends, no packet shows how long
            # the call was.
            self._put_event("pulse", {}, now)
        self._stored_before = self.gate.stored
        try:
            writer = self._drain()
            writer.check_path()
            writer.tick(now)
            self.storage.sync_if_needed()
        except FAILURES as error:
            self._disk_failed(error)

    def _nothing_stored(self) -> bool:
        """Return whether the gate is shut, or no packet passed it since the last tick."""
        return not self._policy.gate_open or self.gate.stored == self._stored_before

    def event(self, kind: str, fields: Mapping[str, Field]) -> None:
        """Append an event for the caller of this method.

        It waits in memory while the disk refuses.
        """
        self._put_event(kind, fields, self._now())

    def answered(self, advisor: str, extension: str) -> None:
        """Record that the call was answered; recording starts unless something keeps it shut."""
        at = self._now()
        self._put_event("answered", {"advisor": advisor, "extension": extension}, at)
        self._execute(self._policy.answered(at))

    @property
    def shut_causes(self) -> ShutCauses:
        """The causes that keep the gate shut; `restored` needs them if the process dies."""
        return self._policy.shut_causes

    def restored(self, causes: ShutCauses, advisor: str, extension: str, since_us: int = 0) -> None:
        """Continue recording after a restart, unless a cause keeps the gate shut.

        `since_us` is the time since the call's answer, in microseconds.
        """
        at = self._now()
        who: dict[str, Field] = {"advisor": advisor, "extension": extension}
        self._put_event("answered", {**who, "since_us": since_us}, at)
        for holder, cause in causes.pauses:
            self._record_pause(holder, cause.trigger, cause.actor, at)
        self._execute(self._policy.restored(causes, at))

    def pause(
        self, holder: str, trigger: Trigger, actor: str, *, arrived_mono: float | None = None
    ) -> None:
        """Shut the gate now for this pause holder.

        `arrived_mono` is when the trigger arrived (monotonic seconds); None means now.
        """
        self._pause_count[holder] = self._pause_count.get(holder, 0) + 1
        at = self._now() if arrived_mono is None else self._started.at_us(arrived_mono)
        erase_to = None
        if self._erase_back_us and self.writer is not None:
            erase_to = max(at - self._erase_back_us, self.writer.erasable_from_us)
        known = holder in self._policy.pause_holders
        self._execute(self._policy.pause(holder, trigger, actor, at, erase_to=erase_to))
        if not known and holder in self._policy.pause_holders:
            self._record_pause(holder, trigger, actor, at)

    async def make_durable(self, timeout_s: float = 0.25) -> bool:
        """Sync the spool to the disk; return False if that fails or takes longer than `timeout_s`.

        The result does not open the gate: if it is shut, it stays shut.
        """
        try:
            job = self.storage.sync_soon()
        except FAILURES as error:
            self._disk_failed(error)
            return False
        if job is None:
            return False
        try:
            await asyncio.wait_for(asyncio.shield(job), timeout_s)
        except (*FAILURES, TimeoutError):
            return False
        return True

    async def resume(self, holder: str, actor: str) -> bool:
        """End one holder's pause: sync first, then open the gate if no other cause keeps it shut.

        Returns whether the end of the pause is on the disk; True if `holder` does not pause this
        call. If it is not, the pause is over, but the storage fault keeps the gate shut. If
        `holder` pauses again in the meantime, that pause stays in force.
        """
        if holder not in self._policy.pause_holders:
            return True
        count = self._pause_count.get(holder)
        self._put_event("release", {"holder": holder, "actor": actor}, self._now())
        durable = await self.make_durable(RELEASE_TIMEOUT_S)
        if self._pause_count.get(holder) != count:
            return durable
        if not durable:
            self._disk_failed(SpoolSyncError("the end of a payment pause is not on the disk"))
        self._execute(self._policy.resume(holder, self._now()))
        return durable

    def referred(
        self,
        destination: DestinationClass,
        actor: str,
        to: str = "",
        *,
        trigger: Trigger = Trigger.REFER,
        arrived_mono: float | None = None,
    ) -> None:
        """Record a transfer by the advisor's side: recording ceases unless it stays in the centre.

        `arrived_mono` is when the trigger arrived (monotonic seconds); None means now.
        """
        at = self._now() if arrived_mono is None else self._started.at_us(arrived_mono)
        self._segment_fields = _segment(destination, to)
        self._execute(self._policy.referred(destination, actor, at, trigger=trigger))

    def transfer_failed(self) -> None:
        """Record that the transfer failed: the call is back."""
        self._segment_fields = _CENTRE
        self._execute(self._policy.transfer_failed(self._now()))

    def returned(self) -> None:
        """Record that the call came back to the centre."""
        self._segment_fields = _CENTRE
        self._execute(self._policy.returned(self._now()))

    def identity_changed(self, actor: str) -> None:
        """Shut the gate until `identity_classed`, since the far end is a new party."""
        self._execute(self._policy.identity_changed(actor, self._now()))

    def identity_classed(self, destination: DestinationClass, to: str = "") -> None:
        """Record the destination class of the new far end."""
        self._segment_fields = _segment(destination, to)
        self._execute(self._policy.identity_classed(destination, self._now()))

    def sync_failed(self, error: SpoolSyncError) -> None:
        """Treat a failed sync as a disk fault; `SpoolSync` calls this."""
        if self.storage.is_synced_by_thread:
            self._disk_failed(error)

    def sync_succeeded(self) -> None:
        """Record that syncs succeed again; `SpoolSync` calls this."""
        if self.storage.is_synced_by_thread:
            self.storage.sync_succeeded()

    def ended(self, cause: str) -> None:
        """Record that the call is over: the open gap ends, and nothing more is stored."""
        if self._policy.state is RecordingState.ENDED:
            return
        at = self._now()
        self._execute(self._policy.ended(at))
        counts: dict[str, Field] = {"kept": self.gate.stored, "dropped": self.gate.dropped}
        self._put_event("counters", counts, at)
        self._put_event("ended", {"cause": cause}, at)

    def close(self) -> None:
        """End the call if necessary and close the spool, so that the finaliser can take it."""
        if self._closed:
            return
        self.ended("closed")
        if self._timer is not None:
            self._timer.cancel()
        if self._sync is not None:
            self._sync.detach(self)
        self._closed = True
        try:
            self.storage.outbox.close(self._now())
        except FAILURES as error:
            self.storage.record_error(error)

    def _record_pause(self, holder: str, trigger: Trigger, actor: str, at: int) -> None:
        fields = {"holder": holder, "trigger": trigger.value, "actor": actor}
        self._put_event("holder", fields, at)

    def _now(self) -> int:
        return max(0, self._started.at_us(self._clock()))

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick()
        if not self._closed:
            self._tick_at = max(self._tick_at + self._tick_s, loop.time())
            self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def _execute(self, outputs: Iterable[Output]) -> None:
        """Carry out the policy's outputs in their order, then notify the page.

        The gate shuts before anything else. If the disk fails meanwhile, the outputs that follow
        from the fault are carried out after those that are already queued.
        """
        self._queue.extend(outputs)
        self.gate.is_open = self.gate.is_open and self._policy.gate_open
        if self._executing:
            return
        self._executing = True
        try:
            while self._queue:
                self._execute_one(self._queue.popleft())
        finally:
            self._executing = False
        if self._policy.gate_open and not self.gate.is_open:
            self.before_open()  # it may read a trigger that pauses again
        self.gate.is_open = self._policy.gate_open
        self._notifier.notify(self._now)

    def _execute_one(self, output: Output) -> None:
        match output:
            case Open(at):
                self.gate.open_from_us = at
            case Shut():
                self.gate.is_open = False
            case EraseBackTo(at):
                try:
                    self.storage.outbox.erase_back_to(at)
                except FAILURES as error:
                    self._disk_failed(error)
            case NewSegment(at):
                self._put_event("segment", self._segment_fields, at)
            case GapStarted(reason, trigger, actor, at):
                fields = {"reason": reason.value, "trigger": trigger.value, "actor": actor}
                self._put_event("gap-start", fields, at)
            case GapEnded(at):
                self._put_event("gap-end", {}, at)

    def _put_event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Write an event after those that wait; if the disk refuses, the event waits too."""
        self.storage.outbox.put(kind, fields, at_us)
        if self._policy.storage_works:
            try:
                self._drain()
            except FAILURES as error:
                self._disk_failed(error)

    def _drain(self) -> SpoolWriter:
        """Open the spool if necessary and write the events that wait."""
        writer = self.gate.writer = self.storage.outbox.drain()
        return writer

    def _try_recovery(self) -> None:
        """End the storage fault if the disk takes the events that wait."""
        try:
            works = self.storage.try_recovery()
        except FAILURES as error:
            self._disk_failed(error)
            return
        self.gate.writer = self.writer
        if works:
            self._execute(self._policy.storage_recovered(self._now()))

    def _disk_failed(self, error: RecordingError | OSError) -> None:
        """Shut the gate and start a fault gap where the lost media begins; now if none was lost."""
        self.storage.record_error(error)
        self.gate.is_open = False
        if not self._policy.storage_works:
            return
        at = self._now()
        lost_from = error.lost_from_us if isinstance(error, SpoolWriteError) else None
        outputs = self._policy.storage_failed(at if lost_from is None else lost_from)
        self.storage.outbox.put("fault", {"why": str(error)}, at)
        self._execute(outputs)


def _segment(destination: DestinationClass, to: str) -> dict[str, Field]:
    return {"class": destination.value, "to": to}


_CENTRE = _segment(DestinationClass.CENTRE, "")
