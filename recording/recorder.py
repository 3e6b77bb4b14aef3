"""One call's recorder: applies the recording policy to the gate and to the spool behind it.

The recorder carries out the policy's outputs immediately and in order. An event that cannot be
written waits in memory until the disk works again. Media that the disk refuses is lost.

An event of the call takes effect at the time at which it arrived. Before an event shuts the gate,
the packets in the sockets are read: packets that arrived earlier than the event are stored, and
later packets are dropped.

All methods run in the event loop's thread.
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
    RecordingStatus,
    Shut,
    ShutCauses,
    StatusNotifier,
    Trigger,
)
from recording.spool.format import Clock, Field
from recording.spool.gate import FAILURES, RecordingGate, SavedLateness, Tap
from recording.spool.packet_counts import ENDED, FAULT, PacketCounts, WrittenCounts, no_packets
from recording.spool.send_times import Octets
from recording.spool.storage import SpoolStorage
from recording.spool.sync import TICK_S, SpoolSync
from recording.spool.writer import SpoolWriter

RELEASE_TIMEOUT_S = 5.0
"""The most seconds for the sync at the end of a pause; a slower disk counts as failed."""
CLOCK_EVENT_US = 60_000_000
"""The least µs between two "clock" events. Jumps of the wall clock are found from these events."""
SHORTEST_LOSS_US = 60_000
"""The shortest time in µs that becomes a gap after the kernel dropped packets of a party.

A shorter time has only a few packets.
"""


class Recorder:
    """Stores the media of one call while the policy allows it, and the events of the call.

    `SpoolStorage` does the work on the disk. In the methods, `arrived_mono` is when the event
    arrived, in monotonic seconds; None means now.
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

        `open_spool` creates a spool, whose times count from `started`. It is called until it
        succeeds, and again if the spool's file is gone for ten seconds (`MOVE_AFTER_US`). If the
        disk fails for as long and `has_other_disk` returns True, `open_on_other_disk` is called
        instead. `clock` returns monotonic seconds, and `wall` Unix seconds. `tick_s` should be
        `tick_for(lookback)` of `recording.spool.sync`.

        A payment pause also erases the `erase_back_s` seconds before its trigger began, up to the
        lookback; 0 erases nothing. For `quarantine_s` seconds after a payment or transfer, a stream
        is not stored if its timestamps do not show when its audio was sent. `sync` syncs the spool
        folder and reports failures.
        """
        quarantine_us = int(quarantine_s * 1_000_000)
        self.gate = RecordingGate(started.mono, self._disk_failed, quarantine_us)
        self.catch_up: Callable[[], None] = _read_nothing
        """Gives the recorder the packets that are still in the sockets.

        It is called before an event of the call shuts the gate, and after the gate has opened
        again. A storage fault shuts the gate without it. The packets are stored or dropped by their
        time of arrival.
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
        """The number of nested `one_write` blocks at present, plus one from `_finish` on."""
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
        """The state that the page shows."""
        return self._policy.state

    @property
    def writer(self) -> SpoolWriter | None:
        """The writer to which the gate gives packets; None until a spool was opened."""
        return self.storage.writer

    def status(self) -> RecordingStatus:
        """Return the status that `on_change` received most recently, or the initial status."""
        return self._notifier.last

    @property
    def tap(self) -> Tap:
        """The function that stores or drops a packet of a recorded leg; the relay calls it.

        A packet that arrived while the gate was shut is dropped, even if it is given after the gate
        has opened. Of a DTMF digit (telephone-event), only the fixed RTP header is stored.
        """
        return self.gate.store

    def start(self) -> None:
        """Call `tick` on the running event loop every `tick_s` seconds, until `close` or `discard`.

        The first call comes after a random part of `tick_s`, so that the recorders of many calls do
        not write at the same moment.
        """
        loop = asyncio.get_running_loop()
        phase = random.uniform(0.0, self._tick_s)  # noqa: S311 - spreads work, hides nothing
        self._tick_at = loop.time() + phase
        self._timer = loop.call_at(self._tick_at, self._on_timer, loop)

    def tick(self) -> None:
        """Write the packets since the previous tick, and the waiting events.

        Write an event "clock" each minute too. During a storage fault, only try to end the fault.
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
        return not self._policy.gate_open or self.gate.stored == self._stored_before

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Delay the events of the `with` block until its end, so that they share one write.

        In the block, packets are stored only by `catch_up`. Before it is called, and before an
        erasure, the events so far are written, so events and packets stay in sequence.
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
        """Write an event to the spool. During a storage fault, it waits in memory."""
        self._put_event(kind, fields, self._at(arrived_mono))

    def answered(self, advisor: str, extension: str, *, arrived_mono: float | None = None) -> None:
        """Write the event "answered", and open the gate unless a cause keeps it shut."""
        at = self._at(arrived_mono)
        self._put_event("answered", {"advisor": advisor, "extension": extension}, at)
        self._execute(self._policy.answered(at))

    def media(self, track: int, payloads: Mapping[int, tuple[str, int, int, str]]) -> None:
        """Write the codecs of a track to the spool. They apply to the track's later packets.

        `payloads` maps payload types to (name, RTP clock rate in Hz, channels, format parameters).
        """
        rates = {number: rate for number, (_, rate, _, _) in payloads.items()}
        self.gate.send_times.set_rates(track, rates)
        codecs: dict[str, Field] = {str(number): [*codec] for number, codec in payloads.items()}
        self.event("media", {"track": track, "payloads": codecs})

    def attached(self, track: int, heard_mono: float | None = None) -> None:
        """Note that packets of another leg arrive on a track from now on.

        `heard_mono` is the arrival of this leg's latest packet in monotonic seconds; None if there
        was none.
        """
        heard_us = None if heard_mono is None else self._started.at_us(heard_mono)
        self.gate.attach(track, self._now(), heard_us)

    def media_lost(self, track: int, count: int, since_mono: float, until_mono: float) -> None:
        """Handle the loss of `count` packets of a track, which the kernel had to drop.

        The packets arrived from `since_mono` to `until_mono` (monotonic seconds). If the gate is
        open, the part of this time after the latest stored packet and any earlier loss becomes a
        gap. A part shorter than `SHORTEST_LOSS_US` does not.
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
        """Note an RTCP datagram from a party. The arguments are the first three of `tap`."""
        self.gate.note_report(track, data, arrival_mono)

    @property
    def shut_causes(self) -> ShutCauses:
        """The causes that keep the gate shut, which the switch saves for `restored`."""
        return self._policy.shut_causes

    @property
    def lateness(self) -> SavedLateness:
        """The state by which the next process recognises late packets of a payment or transfer."""
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

        `causes` keep the gate shut. The call was answered `since_us` microseconds ago. `lateness`
        is of the earlier process's gate; None if it is not known.
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

        The trigger began at `begun_mono` (None means `arrived_mono`), for example with the first
        digit of a dialled code. The time to erase is counted back from there.
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
        """Sync the spool; return False if that fails or takes longer than `timeout_s`.

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
        """End the pause of `holder`; return False if its end is not on the disk.

        The end is first written and synced. Then the gate opens, if no other cause keeps it shut.
        If the sync fails, the pause ends too, but a storage fault keeps the gate shut. A new pause
        of `holder` during the sync stays in force.
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
        """Handle a transfer by the advisor's side. It shuts the gate, except with `CENTRE`.

        `to` is the destination's name, which is stored with the next segment.
        """
        at = self._at(arrived_mono)
        if destination is not DestinationClass.CENTRE:
            self._stop_at(at)
        self._segment_fields = _segment(destination, to)
        self._execute(self._policy.referred(destination, actor, at, trigger=trigger))

    def transfer_failed(self, *, arrived_mono: float | None = None) -> None:
        """Handle a failed transfer: it no longer keeps the gate shut."""
        self._segment_fields = _CENTRE
        self._execute(self._policy.transfer_failed(self._at(arrived_mono)))

    def returned(self, *, arrived_mono: float | None = None) -> None:
        """Handle the return to the centre: no transfer or new party keeps the gate shut."""
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

        The gate stays shut at least until `identity_classed` or `returned`. `trigger` is the event
        that revealed the new party.
        """
        at = self._at(arrived_mono)
        self._stop_at(at)
        self._execute(self._policy.identity_changed(actor, at, trigger=trigger))

    def identity_classed(
        self, destination: DestinationClass, to: str = "", *, arrived_mono: float | None = None
    ) -> None:
        """Handle the new party's class and name. Only a party in the centre is recorded."""
        self._segment_fields = _segment(destination, to)
        self._execute(self._policy.identity_classed(destination, self._at(arrived_mono)))

    def sync_failed(self, error: SpoolSyncError) -> None:
        """Treat a failed sync as a storage fault, if `SpoolSync` syncs this call's spool."""
        if self.storage.is_synced_by_thread:
            self._disk_failed(error)

    def sync_succeeded(self) -> None:
        """Note that syncs succeed again, if `SpoolSync` syncs this call's spool."""
        if self.storage.is_synced_by_thread:
            self.storage.sync_succeeded()

    def ended(self, cause: str, *, arrived_mono: float | None = None) -> None:
        """Shut the gate for ever, end the present gap, and write the counts and the event "ended".

        Calling `ended` again does nothing.
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
        """End the recording as `ended` does, and close the spool for the finaliser.

        The events of `ended` are written together with the end of the spool.
        """
        if not self._closed:
            self._finish(cause, arrived_mono)
            self.storage.close(self._now())
            self._release()

    def discard(self, cause: str, *, arrived_mono: float | None = None) -> None:
        """End the recording, and remove the newest spool instead of closing it."""
        if not self._closed:
            self._finish(cause, arrived_mono)
            self.storage.discard()
            self._release()

    def _finish(self, cause: str, arrived_mono: float | None) -> None:
        """End the recording. The last events wait in memory until `storage.close` writes them."""
        self._blocks += 1
        self.ended(cause, arrived_mono=arrived_mono)
        if self._timer is not None:
            self._timer.cancel()
        if self._sync is not None:
            self._sync.detach(self)
        self._closed = True

    def _release(self) -> None:
        """Drop the functions that make reference cycles with this recorder.

        Otherwise only the garbage collector could free it, which would delay other calls' packets.
        """
        self.catch_up = _read_nothing
        self.packets.arrivals = None
        self.gate.on_failure = _ignore
        self._notifier.close()

    def _record_pause(self, holder: str, trigger: Trigger, actor: str, at: int) -> None:
        fields = {"holder": holder, "trigger": trigger.value, "actor": actor}
        self._put_event("holder", fields, at)

    def _at(self, mono: float | None) -> int:
        return self._now() if mono is None else max(0, self._started.at_us(mono))

    def _stop_at(self, at_us: int) -> None:
        """Read the packets in the sockets: store those from before `at_us`, and drop the others.

        The caller must call `_execute` next.
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
        """Carry out the policy's outputs in order, then notify a change of the status.

        A gate that must be shut is shut before any output is carried out. If the disk fails
        meanwhile, the policy's outputs for this fault join the end of the queue.
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
            # At the first opening, the codecs may not be in the spool yet: packets stay in sockets.
            if self._has_opened:
                self._write_waiting_events()
                # This may read a packet with a DTMF code that starts a new pause.
                self.catch_up()
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
        if no packet arrived in it: otherwise a reader would not know whether an event is missing.
        `reason` is the reason of packets that were dropped in a segment (`PacketCounts.take`).
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
        self.storage.outbox.put(kind, fields, at_us)
        self._write_events()

    def _write_events(self) -> None:
        if not self._blocks:
            self._write_waiting_events()

    def _write_waiting_events(self) -> None:
        if self._policy.storage_works and self.storage.outbox.waiting:
            try:
                self._drain()
            except FAILURES as error:
                self._disk_failed(error)

    def _drain(self) -> SpoolWriter:
        writer = self.gate.writer = self.storage.outbox.drain()
        return writer

    def _try_recovery(self) -> None:
        try:
            works = self.storage.try_recovery()
        except FAILURES as error:
            self._disk_failed(error)
            return
        self.gate.writer = self.writer
        if works:
            self._execute(self._policy.storage_recovered(self._now()))

    def _disk_failed(self, error: RecordingError | OSError) -> None:
        """Shut the gate and begin a gap *fault* at the first lost packet, or now."""
        self.storage.record_error(error)
        self.gate.shut()
        if not self._policy.storage_works:
            return
        at, lost_from = self._now(), self._lost_from(error)
        outputs = self._policy.storage_failed(at if lost_from is None else lost_from)
        self.storage.outbox.put("fault", {"why": str(error)}, at)
        self._execute(outputs)

    def _lost_from(self, error: RecordingError | OSError) -> int | None:
        """Return the arrival of the first packet that a failed write loses; None if it loses none.

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
    return max(0, started.at_us(clock()))


def _read_nothing() -> None:
    """Read nothing, because no relay is connected."""


def _ignore(error: RecordingError | OSError) -> None:
    """Ignore the error: after the end of the call, nothing is stored any more."""
