"""One call's recorder: the policy, the gate it moves, and the spool behind the gate.

Everything but waiting for the disk is synchronous and belongs to the loop's thread. Facts go to
the policy; what follows from them is done at once, in order: the gate first, then what must be
erased, then the events that tell it. Events that the disk refuses wait in memory and are written
before anything else once it takes writes again; media is never kept back for later.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from recording.errors import RecordingError, SpoolSyncError, SpoolWriteError
from recording.gate import FAILURES, Gate, Tap
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
    Standing,
    Trigger,
)
from recording.rhythm import TICK_S
from recording.snapshot import Snapshot, Teller
from recording.spool_records import Clock, Field
from recording.spool_sync import SpoolSync
from recording.spool_writer import SpoolWriter
from recording.storage import Storage

__all__ = ["Recorder", "Snapshot"]

RELEASE_TIMEOUT_S = 5.0
"""A disk that takes longer than this to bring down a few kilobytes is a fault."""
CLOCK_EVENT_US = 60_000_000
"""How often the wall clock is noted, so that its jumps can be told."""


class Recorder:
    """Stores what the policy allows of one call. All methods belong to the loop's thread."""

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        started: Clock,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tick_s: float = TICK_S,
        erase_back_s: float = 0.0,
        on_change: Callable[[Snapshot], None] | None = None,
        sync: SpoolSync | None = None,
        open_elsewhere: Callable[[], SpoolWriter] | None = None,
    ) -> None:
        """Open the spool. If the disk refuses, the recorder starts in fault and tries again.

        `open_spool` makes the next spool of the call, from offset 0 at `started`; a further one
        when the disk of the last stays away. `open_elsewhere` makes it on another disk, when that
        of the last goes on failing. `tick_s`: `rhythm.tick_for` the lookback. `erase_back_s`: a
        payment hold also makes unreadable what was recorded that many seconds before it, as far
        as the lookback allows.
        """
        self.gate = Gate(started.mono, self._disk_failed)
        self.before_open: Callable[[], None] = lambda: None
        """Called before the gate opens: what came while it was shut must not be read after it."""
        self._started = started
        self._clock = clock
        self._wall = wall
        self._erase_back_us = int(erase_back_s * 1_000_000)
        self._tick_s = tick_s
        self._tick_at = 0.0
        self._sync = sync
        self._policy = Policy()
        synced = None if sync is None else sync.folder
        self.storage = Storage(open_spool, self._now, self._disk_failed, open_elsewhere, synced)
        self._to_do: deque[Output] = deque()
        self._doing = False
        self._segment_fields = _CENTRE
        self._hold_count: dict[str, int] = {}
        self._clock_due_us = 0
        self._kept_before = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._teller = Teller(self._policy, on_change)
        if sync is not None:
            sync.attach(self)
        try:
            self._drain()
        except FAILURES as error:
            self._disk_failed(error)

    @property
    def state(self) -> RecordingState:
        """As the page shows it."""
        return self._policy.state

    @property
    def gate_open(self) -> bool:
        """Whether packets are being kept."""
        return self.gate.is_open

    @property
    def holders(self) -> tuple[str, ...]:
        """Who holds the gate shut for a payment."""
        return self._policy.holders

    @property
    def writer(self) -> SpoolWriter | None:
        """The spool behind the gate; None while none could be opened."""
        return self.storage.writer

    def snapshot(self) -> Snapshot:
        """What `on_change` was told last."""
        return self._teller.last

    @property
    def tap(self) -> Tap:
        """The relay's callable for each leg that is recorded. Gate shut: nothing is kept.

        Packets that arrived before the gate opened are dropped as well, however late they come.
        Of telephone-events the relay gives the fixed header, and no more would be taken.
        """
        return self.gate.store

    def start(self) -> None:
        """Tick on the running loop until `close`, at a random phase."""
        loop = asyncio.get_running_loop()
        phase = random.uniform(0.0, self._tick_s)  # noqa: S311 - spreads work, hides nothing
        self._tick_at = loop.time() + phase
        self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def tick(self) -> None:
        """Hand the last second to the kernel; after a fault, try the disk again."""
        if self._closed:
            return
        if not self._policy.storage_good:
            self._try_disk()
            return
        now = self._now()
        if now >= self._clock_due_us and self.state is not RecordingState.ENDED:
            self._clock_due_us = now + CLOCK_EVENT_US
            self._append("clock", {"wall": self._wall()}, now)
        elif self._nothing_kept() and self.state is not RecordingState.ENDED:
            # No packet shows how long the call was, should the process die in a gap, or while
            # neither party sends.
            self._append("pulse", {}, now)
        self._kept_before = self.gate.kept
        try:
            writer = self._drain()
            writer.check_place()
            writer.tick(now)
            self.storage.keep_up()
        except FAILURES as error:
            self._disk_failed(error)

    def _nothing_kept(self) -> bool:
        """Whether the gate is shut, or nothing came through since the last tick."""
        return not self._policy.gate_open or self.gate.kept == self._kept_before

    def event(self, kind: str, fields: Mapping[str, Field]) -> None:
        """Append an event of the caller's own. Kept in memory while the disk refuses."""
        self._append(kind, fields, self._now())

    def answered(self, advisor: str, extension: str) -> None:
        """Recording starts."""
        at = self._now()
        self._append("answered", {"advisor": advisor, "extension": extension}, at)
        self._do(self._policy.answered(at))

    @property
    def standing(self) -> Standing:
        """What `resumed` wants, should the process die."""
        return self._policy.standing

    def resumed(self, standing: Standing, advisor: str, extension: str, since_us: int = 0) -> None:
        """After a restart, `since_us` after the answer: go on, unless something kept it shut."""
        at = self._now()
        who: dict[str, Field] = {"advisor": advisor, "extension": extension}
        self._append("answered", {**who, "since_us": since_us}, at)
        for holder, cause in standing.holds:
            self._tell_holder(holder, cause.trigger, cause.actor, at)
        self._do(self._policy.resumed(standing, at))

    def hold(
        self, holder: str, trigger: Trigger, actor: str, *, arrived_mono: float | None = None
    ) -> None:
        """Shut the gate, now. `arrived_mono`: when the trigger arrived, if that was earlier."""
        self._hold_count[holder] = self._hold_count.get(holder, 0) + 1
        at = self._now() if arrived_mono is None else self._started.at_us(arrived_mono)
        erase_to = None
        if self._erase_back_us and self.writer is not None:
            erase_to = max(at - self._erase_back_us, self.writer.erasable_from_us)
        known = holder in self._policy.holders
        self._do(self._policy.hold(holder, trigger, actor, at, erase_to=erase_to))
        if not known and holder in self._policy.holders:
            self._tell_holder(holder, trigger, actor, at)

    async def make_durable(self, timeout_s: float = 0.25) -> bool:
        """Bring the spool to the disk; False when that failed or takes longer.

        Whatever comes back, a gate that is shut stays shut.
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

    async def release(self, holder: str, actor: str) -> bool:
        """Let go of one hold: durable first, then the gate opens if no other fact shuts it.

        Returns whether it is durable; when it is not, the hold is over but the gate stays shut
        by the storage fault. A hold that `holder` repeats meanwhile stands.
        """
        if holder not in self._policy.holders:
            return True
        count = self._hold_count.get(holder)
        self._append("release", {"holder": holder, "actor": actor}, self._now())
        durable = await self.make_durable(RELEASE_TIMEOUT_S)
        if self._hold_count.get(holder) != count:
            return durable
        if not durable:
            self._disk_failed(SpoolSyncError("the release of a payment hold is not on the disk"))
        self._do(self._policy.release(holder, self._now()))
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
        """The advisor's side sent the call on: it ceases unless `destination` is the centre."""
        at = self._now() if arrived_mono is None else self._started.at_us(arrived_mono)
        self._segment_fields = _segment(destination, to)
        self._do(self._policy.referred(destination, actor, at, trigger=trigger))

    def transfer_failed(self) -> None:
        """The transfer came to nothing; the call is back."""
        self._segment_fields = _CENTRE
        self._do(self._policy.transfer_failed(self._now()))

    def returned(self) -> None:
        """The call came back to the centre."""
        self._segment_fields = _CENTRE
        self._do(self._policy.returned(self._now()))

    def identity_changed(self, actor: str) -> None:
        """The far end became someone else: shut until `identity_classed`."""
        self._do(self._policy.identity_changed(actor, self._now()))

    def identity_classed(self, destination: DestinationClass, to: str = "") -> None:
        """Who the far end now is."""
        self._segment_fields = _segment(destination, to)
        self._do(self._policy.identity_classed(destination, self._now()))

    def sync_failed(self, error: SpoolSyncError) -> None:
        """What was handed over does not reach the disk (told by `SpoolSync`)."""
        if self.storage.synced_by_others:
            self._disk_failed(error)

    def sync_succeeded(self) -> None:
        """It does again."""
        if self.storage.synced_by_others:
            self.storage.sync_succeeded()

    def ended(self, cause: str) -> None:
        """The call is over: the open gap ends, nothing is stored any more."""
        if self._policy.state is RecordingState.ENDED:
            return
        at = self._now()
        self._do(self._policy.ended(at))
        counts: dict[str, Field] = {"kept": self.gate.kept, "dropped": self.gate.dropped}
        self._append("counters", counts, at)
        self._append("ended", {"cause": cause}, at)

    def close(self) -> None:
        """End the call if need be and close the spool; its path can be given to the finaliser."""
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
            self.storage.note(error)

    def _tell_holder(self, holder: str, trigger: Trigger, actor: str, at: int) -> None:
        told = {"holder": holder, "trigger": trigger.value, "actor": actor}
        self._append("holder", told, at)

    def _now(self) -> int:
        return max(0, self._started.at_us(self._clock()))

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick()
        if not self._closed:
            self._tick_at = max(self._tick_at + self._tick_s, loop.time())
            self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def _do(self, outputs: Iterable[Output]) -> None:
        """Carry out what the policy says, in its order, and tell the page.

        The gate shuts before anything else. If the disk fails on the way, what follows from
        that is done after what was said before.
        """
        self._to_do.extend(outputs)
        self.gate.is_open = self.gate.is_open and self._policy.gate_open
        if self._doing:
            return
        self._doing = True
        try:
            while self._to_do:
                self._carry_out(self._to_do.popleft())
        finally:
            self._doing = False
        if self._policy.gate_open and not self.gate.is_open:
            self.before_open()  # which may tell of a further hold
        self.gate.is_open = self._policy.gate_open
        self._teller.tell(self._now)

    def _carry_out(self, output: Output) -> None:
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
                self._append("segment", self._segment_fields, at)
            case GapStarted(reason, trigger, actor, at):
                told = {"reason": reason.value, "trigger": trigger.value, "actor": actor}
                self._append("gap-start", told, at)
            case GapEnded(at):
                self._append("gap-end", {}, at)

    def _append(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Write an event after those that wait; if the disk refuses, it waits too."""
        self.storage.outbox.put(kind, fields, at_us)
        if self._policy.storage_good:
            try:
                self._drain()
            except FAILURES as error:
                self._disk_failed(error)

    def _drain(self) -> SpoolWriter:
        """Open the spool if need be and write what waits."""
        writer = self.gate.writer = self.storage.outbox.drain()
        return writer

    def _try_disk(self) -> None:
        """After a fault: it is over if the disk takes what waits."""
        try:
            works = self.storage.works_again()
        except FAILURES as error:
            self._disk_failed(error)
            return
        self.gate.writer = self.writer
        if works:
            self._do(self._policy.storage_ok(self._now()))

    def _disk_failed(self, error: RecordingError | OSError) -> None:
        """The gate shuts from where media was lost; told as a gap of its own kind."""
        self.storage.note(error)
        self.gate.is_open = False
        if not self._policy.storage_good:
            return
        at = self._now()
        lost_from = error.lost_from_us if isinstance(error, SpoolWriteError) else None
        outputs = self._policy.storage_fault(at if lost_from is None else lost_from)
        self.storage.outbox.put("fault", {"why": str(error)}, at)
        self._do(outputs)


def _segment(destination: DestinationClass, to: str) -> dict[str, Field]:
    return {"class": destination.value, "to": to}


_CENTRE = _segment(DestinationClass.CENTRE, "")
