"""One call's recorder: applies the recording policy to the gate and to the spool behind it.

The recorder gives each fact about the call to the policy. The policy returns outputs, which the
recorder carries out immediately and in sequence: it opens or shuts the gate, erases media, and
writes events about these actions to the spool. If an event cannot be written to the disk, the event
waits in memory until the disk works again. Media never waits in memory for the disk: if media
cannot be written, it is lost.

A fact takes effect at the time at which it arrived, even if it is handled later. Before the gate is
shut, the packets that have arrived until then are read: those from before the fact are stored, and
the others are dropped.

All methods run in the event loop's thread. Only the methods that wait for a sync are asynchronous.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

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
from recording.spool.gate import FAILURES, RecordingGate, SavedLateness, Tap
from recording.spool.intervals import TICK_S
from recording.spool.packet_counts import ENDED, FAULT, PacketCounts, WrittenCounts, no_packets
from recording.spool.records import Clock, Field
from recording.spool.send_times import Octets
from recording.spool.storage import SpoolStorage
from recording.spool.sync import SpoolSync
from recording.spool.writer import SpoolWriter
from recording.status import RecordingStatus, StatusNotifier

__all__ = ["Recorder", "RecordingStatus"]

RELEASE_TIMEOUT_S = 5.0
"""The time limit in seconds for the sync after the end of a pause was written to the spool.

This sync writes only a few kilobytes. If the sync takes longer, the disk is treated as failed.
"""
CLOCK_EVENT_US = 60_000_000
"""The interval in microseconds at which the recorder writes the wall clock's time to the spool.

Jumps of the wall clock are therefore visible in the manifest.
"""
SHORTEST_LOSS_US = 60_000
"""The shortest time in µs without any packet that becomes a gap if the kernel dropped packets.

A shorter loss is one or two packets. The packets of the other party arrived in that time.
"""


class Recorder:
    """Stores the media of one call while the policy allows it, and the events of the call.

    Call every method in the event loop's thread. Most methods give one fact, such as a pause, to
    the policy and carry out the policy's outputs. All methods are in one class because they share
    one queue of outputs. `SpoolStorage` does the work on the disk.
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
        quarantine_s: float = 0.0,
        on_change: Callable[[RecordingStatus], None] | None = None,
        sync: SpoolSync | None = None,
        open_on_other_disk: Callable[[], SpoolWriter] | None = None,
        has_other_disk: Callable[[], bool] = lambda: True,
    ) -> None:
        """Open the spool. If that fails, start with a storage fault and try again later.

        Args:
            open_spool: The function that creates and returns the call's next spool. Times in the
                spool count from `started`. The recorder calls the function again if the disk of the
                current spool was unmounted and is not mounted again soon.
            started: The call's start, by the monotonic clock and by the wall clock.
            clock: The monotonic clock, in seconds.
            wall: The wall clock, in Unix seconds.
            tick_s: The time between two ticks, in seconds. `recording.spool.intervals.tick_for`
                computes it from the lookback.
            erase_back_s: A payment pause also erases the media of this many seconds before its
                trigger began, or of the lookback if the lookback is shorter. 0 erases nothing.
            quarantine_s: The time in seconds for which a stream is not stored after a payment or
                transfer, if its timestamps do not show when its audio was sent.
            on_change: The function that receives the new status after each change.
            sync: The thread that syncs the spool folder once a second and notifies this recorder of
                failed syncs; None if there is no such thread.
            open_on_other_disk: The function that creates and returns the next spool on another
                disk. The recorder calls this function if the disk of the current spool fails for
                ten seconds (`MOVE_AFTER_US`). None if there is no other disk.
            has_other_disk: The function that says whether there is another disk now.
        """
        quarantine_us = int(quarantine_s * 1_000_000)
        self.gate = RecordingGate(started.mono, self._disk_failed, quarantine_us)
        self.catch_up: Callable[[], None] = _read_nothing
        """The function that gives the recorder the packets that are still in the sockets.

        The recorder calls it before it shuts the gate, and after it has opened the gate again. The
        packets are stored or dropped by their time of arrival.
        """
        self.packets = PacketCounts(self.gate.drops)
        """The counts for the event `packets`. The code that connects a relay sets `arrivals`."""
        self._now = partial(_us_since, started, clock)
        self._started = started
        self._wall = wall
        self._erase_back_us = int(erase_back_s * 1_000_000)
        self._tick_s = tick_s
        self._tick_at = 0.0
        self._sync = sync
        self._policy = Policy()
        synced = None if sync is None else sync.folder
        self.storage = SpoolStorage(
            *(open_spool, self._now, self._disk_failed, open_on_other_disk),
            synced=synced,
            has_other_disk=has_other_disk,
        )
        self._queue: deque[Output] = deque()
        self._executing = False
        self._blocks = 0
        """The number of `one_write` blocks that run now, one in another."""
        self._opens_at: int | None = None
        self._lost_until_us = 0
        self._has_opened = False
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
        """The state of the recording, as the page shows it."""
        return self._policy.state

    @property
    def gate_open(self) -> bool:
        """True while the gate stores packets."""
        return self.gate.is_open

    @property
    def pause_holders(self) -> tuple[str, ...]:
        """The holders that keep the recording paused; the holder of the oldest pause first."""
        return self._policy.pause_holders

    @property
    def writer(self) -> SpoolWriter | None:
        """The writer to which the gate gives packets; None until a spool was opened."""
        return self.storage.writer

    def status(self) -> RecordingStatus:
        """Return the status that `on_change` received most recently, or the initial status."""
        return self._notifier.last

    @property
    def tap(self) -> Tap:
        """The function that the relay calls with each packet of a recorded leg.

        While the gate is shut, no packet is stored. A packet that arrived while the gate was shut
        is dropped, even if the relay calls this function only after the gate has opened. If the
        packet contains a DTMF digit (telephone-event), only the fixed RTP header is stored.
        """
        return self.gate.store

    def start(self) -> None:
        """Call `tick` on the running event loop every `tick_s` seconds until `close`.

        The first call comes after a random part of `tick_s`, so that the recorders of many calls
        do not write at the same moment.
        """
        loop = asyncio.get_running_loop()
        phase = random.uniform(0.0, self._tick_s)  # noqa: S311 - spreads work, hides nothing
        self._tick_at = loop.time() + phase
        self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def tick(self) -> None:
        """Write the packets since the previous tick to the spool file.

        During a storage fault, only test whether the disk works again.
        """
        if self._closed:
            return
        if not self._policy.storage_works:
            self._try_recovery()
            return
        now = self._now()
        outbox = self.storage.outbox
        if now >= self._clock_due_us and self.state is not RecordingState.ENDED:
            self._clock_due_us = now + CLOCK_EVENT_US
            outbox.put("clock", {"wall": self._wall()}, now)
        elif self._nothing_stored() and self.state is not RecordingState.ENDED:
            # If the process dies, the last packet in the spool shows the call's length. In a gap,
            # or while neither party sends packets, "pulse" events show the call's length instead.
            outbox.put("pulse", {}, now)
        self._stored_before = self.gate.stored
        try:
            self.gate.writer = outbox.tick(now)
            self.storage.sync_if_needed()
        except FAILURES as error:
            self._disk_failed(error)

    def _nothing_stored(self) -> bool:
        """Return True if the gate is shut, or has stored no packet since the previous tick."""
        return not self._policy.gate_open or self.gate.stored == self._stored_before

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Write the events of the `with` block together at its end, which costs one write.

        In the block, packets are stored only by `catch_up`. The events before it are written first,
        so each packet follows the events that precede it.
        """
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1
            self._write_events()

    def event(
        self, kind: str, fields: Mapping[str, Field], *, arrived_mono: float | None = None
    ) -> None:
        """Write an event of this kind, with these fields, to the spool.

        During a storage fault, the event waits in memory. `arrived_mono` is the time of the event
        in monotonic seconds; None means now.
        """
        self._put_event(kind, fields, self._at(arrived_mono))

    def answered(self, advisor: str, extension: str, *, arrived_mono: float | None = None) -> None:
        """Write the event "answered" to the spool, and open the gate unless a cause keeps it shut.

        `advisor` is the advisor who answered; `extension` is the extension of their phone.
        `arrived_mono` is the time of the answer in monotonic seconds; None means now.
        """
        at = self._at(arrived_mono)
        self._put_event("answered", {"advisor": advisor, "extension": extension}, at)
        self._execute(self._policy.answered(at))

    def media(self, track: int, payloads: Mapping[int, tuple[str, int, int, str]]) -> None:
        """Write the codecs of a track to the spool. They apply to all later packets.

        `payloads` maps each payload type to the codec's name, its RTP clock rate in Hz, its number
        of channels and its format parameters.
        """
        rates = {number: rate for number, (_, rate, _, _) in payloads.items()}
        self.gate.send_times.set_rates(track, rates)
        codecs: dict[str, Field] = {str(number): [*codec] for number, codec in payloads.items()}
        self.event("media", {"track": track, "payloads": codecs})

    def attached(self, track: int, heard_mono: float | None = None) -> None:
        """Note that the packets of another leg arrive on a track from now on.

        `heard_mono` is the arrival of the leg's latest packet in monotonic seconds; None if no
        packet has arrived on it yet.
        """
        heard_us = None if heard_mono is None else self._started.at_us(heard_mono)
        self.gate.attach(track, self._now(), heard_us)

    def media_lost(self, track: int, count: int, since_mono: float, until_mono: float) -> None:
        """Handle the loss of `count` packets of a track, which the kernel had to drop.

        They arrived between two times, which are in monotonic seconds. If no packet of the other
        party was stored in the meantime, this time is a gap.
        """
        since, until = self._at(since_mono), self._at(until_mono)
        fields: dict[str, Field] = {"track": track, "count": count, "since_us": since}
        self._put_event("lost", fields, until)
        since = max(since, self._lost_until_us)
        if self.writer is not None:
            since = max(since, self.writer.latest_us)
        self._lost_until_us = max(self._lost_until_us, until)
        if until - since >= SHORTEST_LOSS_US:
            self._execute(self._policy.media_lost(since, until))

    def media_reported(self, track: int, data: Octets, arrival_mono: float) -> None:
        """Note an RTCP datagram from a party. The arguments are those of `tap`."""
        self.gate.note_report(track, data, arrival_mono)

    @property
    def shut_causes(self) -> ShutCauses:
        """The causes that keep the gate shut.

        The switch saves these causes. If this process dies, the next process calls `restored` with
        the saved causes.
        """
        return self._policy.shut_causes

    @property
    def lateness(self) -> SavedLateness:
        """The state of the gate by which the next process recognises late packets of a pause."""
        return self.gate.saved()

    def restored(
        self,
        causes: ShutCauses,
        advisor: str,
        extension: str,
        since_us: int = 0,
        lateness: SavedLateness | None = None,
    ) -> None:
        """Continue the recording of an answered call after a restart of the process.

        `causes` are the causes that the earlier process saved; if there are any, the gate stays
        shut. `advisor` and `extension` are as in `answered`. `since_us` is the time from the call's
        answer until now, in microseconds. `lateness` is the state of the earlier process's gate;
        None if it is not known.
        """
        at = self._now()
        if lateness is not None:
            shut = causes.pauses or causes.referral or causes.identity
            self.gate.restore(lateness, at, is_open=not shut)
        else:
            self.gate.send_times.begin(at - since_us)
        who: dict[str, Field] = {"advisor": advisor, "extension": extension}
        self._put_event("answered", {**who, "since_us": since_us}, at)
        for holder, cause in causes.pauses:
            self._record_pause(holder, cause.trigger, cause.actor, at)
        self._execute(self._policy.restored(causes, at))

    def pause(
        self,
        holder: str,
        trigger: Trigger,
        actor: str,
        *,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> None:
        """Shut the gate now, because the pause holder `holder` pauses the recording.

        Args:
            holder: The pause holder.
            trigger: The kind of the trigger.
            actor: The person or system that pauses.
            arrived_mono: The time in monotonic seconds at which the trigger, such as an INFO
                request, arrived; None means now.
            begun_mono: The time in monotonic seconds at which the trigger began, such as the
                arrival of a dialled code's first digit; None means `arrived_mono`. What is erased
                before a pause counts from here.
        """
        self._pause_count[holder] = self._pause_count.get(holder, 0) + 1
        at = self._at(arrived_mono)
        self._stop_at(at)
        erase_to = None
        if self._erase_back_us and self.writer is not None:
            begun = at if begun_mono is None else min(at, self._at(begun_mono))
            erase_to = max(begun - self._erase_back_us, self.writer.erasable_from_us)
        known = holder in self._policy.pause_holders
        with self.one_write():
            self._execute(self._policy.pause(holder, trigger, actor, at, erase_to=erase_to))
            if not known and holder in self._policy.pause_holders:
                self._record_pause(holder, trigger, actor, at)

    async def make_durable(self, timeout_s: float = 0.25) -> bool:
        """Sync the spool to the disk; return False if that fails or takes longer than `timeout_s`.

        Also return False if nothing can be synced, because no spool is open or events wait in
        memory. This method never opens the gate.
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
        """End the pause of the pause holder `holder`. `actor` is the person or system that ends it.

        The end of the pause is first written to the spool and synced. Then the gate opens, if no
        other cause keeps it shut. If `holder` starts a new pause during the sync, the new pause
        stays in force.

        Returns True if the end of the pause is on the disk, or if there is no pause of `holder`.
        Returns False if the end of the pause could not be synced. In this case the pause also ends,
        but a storage fault keeps the gate shut.
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
        """Handle a transfer by the advisor's side to a party of the class `destination`.

        If the destination is not in the centre, the gate is shut. `actor` is the person or system
        that transfers the call. `to` is the destination's name, which is stored with the next
        segment. `arrived_mono` is the time in monotonic seconds at which the trigger, such as a
        REFER request, arrived; None means now.
        """
        at = self._at(arrived_mono)
        if destination is not DestinationClass.CENTRE:
            self._stop_at(at)
        self._segment_fields = _segment(destination, to)
        self._execute(self._policy.referred(destination, actor, at, trigger=trigger))

    def transfer_failed(self, *, arrived_mono: float | None = None) -> None:
        """Handle a failed transfer: the call is in the centre again.

        The transfer no longer keeps the gate shut. `arrived_mono` is the time in monotonic seconds
        at which the failure became known; None means now.
        """
        self._segment_fields = _CENTRE
        self._execute(self._policy.transfer_failed(self._at(arrived_mono)))

    def returned(self, *, arrived_mono: float | None = None) -> None:
        """Handle the return of the call to the centre.

        After this, neither a transfer nor a new party on the advisor's side keeps the gate shut.
        `arrived_mono` is the time of the return in monotonic seconds; None means now.
        """
        self._segment_fields = _CENTRE
        self._execute(self._policy.returned(self._at(arrived_mono)))

    def identity_changed(
        self,
        actor: str,
        *,
        trigger: Trigger = Trigger.IDENTITY,
        arrived_mono: float | None = None,
    ) -> None:
        """Shut the gate, because there is a new party on the advisor's side of the call.

        The gate stays shut at least until `identity_classed` gives the new party's destination
        class. `trigger` is what says who the party is. `arrived_mono` is the time in monotonic
        seconds at which the message arrived that names the new party; None means now.
        """
        at = self._at(arrived_mono)
        self._stop_at(at)
        self._execute(self._policy.identity_changed(actor, at, trigger=trigger))

    def identity_classed(
        self, destination: DestinationClass, to: str = "", *, arrived_mono: float | None = None
    ) -> None:
        """Handle the destination class of the new party on the advisor's side of the call.

        Recording can continue only if the class is `CENTRE`. `to` is the new party's name.
        `arrived_mono` is as in `identity_changed`.
        """
        self._segment_fields = _segment(destination, to)
        self._execute(self._policy.identity_classed(destination, self._at(arrived_mono)))

    def sync_failed(self, error: SpoolSyncError) -> None:
        """Treat a failed sync as a storage fault; `SpoolSync` calls this method."""
        if self.storage.is_synced_by_thread:
            self._disk_failed(error)

    def sync_succeeded(self) -> None:
        """Remember that syncs succeed again; `SpoolSync` calls this method."""
        if self.storage.is_synced_by_thread:
            self.storage.sync_succeeded()

    def ended(self, cause: str, *, arrived_mono: float | None = None) -> None:
        """Shut the gate for ever, end the present gap, and write the event "ended" to the spool.

        `cause` is a text that says why the call ended. `arrived_mono` is the time of the end in
        monotonic seconds; None means now. If the call has already ended, do nothing.
        """
        if self._policy.state is RecordingState.ENDED:
            return
        at = self._at(arrived_mono)
        self._stop_at(at)
        with self.one_write():
            self._execute(self._policy.ended(at))
            self._record_packets(ENDED)
            counts: dict[str, Field] = {"kept": self.gate.stored, "dropped": self.gate.dropped}
            self._put_event("counters", counts, at)
            self._put_event("ended", {"cause": cause}, at)

    def close(self, cause: str = "closed", *, arrived_mono: float | None = None) -> None:
        """Close the spool, so that the finaliser can seal it.

        If `ended` was not called yet, it is called first, with the arguments of this method. Its
        events are then written together with the end of the spool.
        """
        if not self._closed:
            self._finish(cause, arrived_mono)
            self.storage.close(self._now())
            self._release()

    def discard(self, cause: str, *, arrived_mono: float | None = None) -> None:
        """Remove the newest spool instead of closing it. The arguments are those of `close`."""
        if not self._closed:
            self._finish(cause, arrived_mono)
            self.storage.discard()
            self._release()

    def _finish(self, cause: str, arrived_mono: float | None) -> None:
        """End the recording; its last events are not written, because `storage` does that."""
        self._blocks += 1
        self.ended(cause, arrived_mono=arrived_mono)
        if self._timer is not None:
            self._timer.cancel()
        if self._sync is not None:
            self._sync.detach(self)
        self._closed = True

    def _release(self) -> None:
        """Forget the functions through which other objects refer back to this recorder.

        Only then is the recorder freed at the end of its call, and not by the garbage collector,
        which would delay the packets of other calls. The gate is shut for ever, so none of these
        functions has anything to do any more.
        """
        self.catch_up = _read_nothing
        self.packets.arrivals = None
        self.gate.on_failure = _ignore
        self._notifier.close()

    def _record_pause(self, holder: str, trigger: Trigger, actor: str, at: int) -> None:
        fields = {"holder": holder, "trigger": trigger.value, "actor": actor}
        self._put_event("holder", fields, at)

    def _at(self, mono: float | None) -> int:
        """Convert a time in monotonic seconds to µs since the start; None means now."""
        return self._now() if mono is None else max(0, self._started.at_us(mono))

    def _stop_at(self, at_us: int) -> None:
        """Store the packets that arrived before `at_us`, and drop those that arrived later.

        All packets that have arrived are read. Call `_execute` afterwards.
        """
        if self.gate.is_open:
            self._write_waiting_events()
            self.gate.stop_at(at_us)
            self.catch_up()

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick()
        if not self._closed:
            self._tick_at = max(self._tick_at + self._tick_s, loop.time())
            self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def _execute(self, outputs: Iterable[Output]) -> None:
        """Carry out the policy's outputs in order, then call `on_change` if the status has changed.

        If the policy requires a shut gate, the gate is shut before any output is carried out. If
        the disk fails while an output is carried out, the policy returns more outputs for this
        fault. These outputs are added at the end of the queue.
        """
        self._queue.extend(outputs)
        if not self._policy.gate_open:
            self.gate.shut(confidential=self._policy.is_confidential)
        if self._executing:
            return
        with self.one_write():
            self._executing = True
            try:
                while self._queue:
                    self._execute_one(self._queue.popleft())
            finally:
                self._executing = False
        if self._policy.gate_open and self._opens_at is not None:
            self.gate.open(self._opens_at)
            self._opens_at = None
            if self._has_opened:
                self._write_waiting_events()
                # This may read a packet with a DTMF code that starts a new pause.
                self.catch_up()
            # At the answer, the codecs may not be in the spool yet, so the packets must wait.
            self._has_opened = True
        elif self._policy.gate_open:
            self.gate.reopen()
        self._notifier.notify(self._now)

    def _execute_one(self, output: Output) -> None:
        match output:
            case Open(at):
                self._opens_at = at
            case Shut():
                self.gate.shut(confidential=self._policy.is_confidential)
                self._opens_at = None
            case EraseBackTo(at):
                self._write_waiting_events()
                try:
                    self.storage.outbox.erase_back_to(at)
                except FAILURES as error:
                    self._disk_failed(error)
            case NewSegment(at):
                self._record_packets(FAULT)
                self._put_event("segment", self._segment_fields, at)
                self.packets.enter("")
            case GapStarted(reason, trigger, actor, at):
                self._record_packets(reason.value)
                self.packets.enter(reason.value)
                fields = {"reason": reason.value, "trigger": trigger.value, "actor": actor}
                self._put_event("gap-start", fields, at)
            case GapEnded(at):
                self._record_packets(FAULT)
                self._put_event("gap-end", {}, at)
                self.packets.leave()

    def _record_packets(self, reason: str) -> None:
        """Write the counts of the packets since the previous counts.

        This is done before a segment or gap ends, so the counts belong to it. They are written even
        if no packet arrived: otherwise a reader would not know that no event is missing. `reason`
        is the reason for which the gate has dropped packets if no gap has begun yet.
        """
        writer = self.writer
        if writer is not None and self._policy.storage_works:
            try:
                writer.flush_frame()
            except FAILURES as error:
                self._disk_failed(error)
        written, pending = WrittenCounts(), no_packets()
        if writer is not None:
            written, pending = writer.counts, writer.pending
        tracks = self.packets.take(written, pending, reason)
        if not self.packets.is_between or any(any(track.values()) for track in tracks):
            self._put_event("packets", {"tracks": tracks}, self._now())

    def _put_event(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Write an event to the spool, in a `one_write` block at the end of the block.

        During a storage fault, the event waits in memory.
        """
        self.storage.outbox.put(kind, fields, at_us)
        self._write_events()

    def _write_events(self) -> None:
        """Write the waiting events, unless a `one_write` block still runs."""
        if not self._blocks:
            self._write_waiting_events()

    def _write_waiting_events(self) -> None:
        """Write the waiting events. During a storage fault, they continue to wait."""
        if self._policy.storage_works and self.storage.outbox.waiting:
            try:
                self._drain()
            except FAILURES as error:
                self._disk_failed(error)

    def _drain(self) -> SpoolWriter:
        """Open the spool if necessary, write the waiting events, and return the spool's writer."""
        writer = self.gate.writer = self.storage.outbox.drain()
        return writer

    def _try_recovery(self) -> None:
        """Try to write the events that wait in memory. If that works, end the storage fault."""
        try:
            works = self.storage.try_recovery()
        except FAILURES as error:
            self._disk_failed(error)
            return
        self.gate.writer = self.writer
        if works:
            self._execute(self._policy.storage_recovered(self._now()))

    def _disk_failed(self, error: RecordingError | OSError) -> None:
        """Shut the gate and begin a gap with the reason *fault*.

        If media is lost, the gap begins at the arrival of the first lost packet. Otherwise the gap
        begins now.
        """
        self.storage.record_error(error)
        self.gate.shut()
        if not self._policy.storage_works:
            return
        at, lost_from = self._now(), self._lost_from(error)
        outputs = self._policy.storage_failed(at if lost_from is None else lost_from)
        self.storage.outbox.put("fault", {"why": str(error)}, at)
        self._execute(outputs)

    def _lost_from(self, error: RecordingError | OSError) -> int | None:
        """Return the arrival of the first packet that is lost by a failed write; None if none is.

        After a failed sync, first write the packets in memory: the disk may refuse them too. If the
        disk has disappeared, they are not written to it, because they move to the next spool.
        """
        if isinstance(error, SpoolSyncError) and self.writer is not None:
            try:
                self.writer.flush_frame()
            except FAILURES as refused:
                error = refused
        return error.lost_from_us if isinstance(error, SpoolWriteError) else None


def _segment(destination: DestinationClass, to: str) -> dict[str, Field]:
    return {"class": destination.value, "to": to}


_CENTRE = _segment(DestinationClass.CENTRE, "")


def _us_since(started: Clock, clock: Callable[[], float]) -> int:
    """Return the microseconds since `started`."""
    return max(0, started.at_us(clock()))


def _read_nothing() -> None:
    """Read no packets, because no relay is connected."""


def _ignore(error: RecordingError | OSError) -> None:
    """Ignore an error after the end of the call, because nothing is stored any more."""
