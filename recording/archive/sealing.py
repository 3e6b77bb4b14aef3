"""Seals the spools of one call: their audio becomes one FLAC file, encrypted as an age payload.

All packet times of a call come from the same monotonic clock. The FLAC file is encrypted while it
is written, so plaintext exists only in memory.

`seal_audio` seals a call after its end. `LiveSealing` seals it while it is in progress.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recording.archive.call_facts import SPACING_US, CallFacts, answered_before_us, payloads_of
from recording.archive.manifest import FaultFacts, Interval, PacketStretch, SpoolFacts
from recording.archive.packet_ledger import EVENTS, PacketLedger
from recording.audio.captured_card import CardFilter
from recording.audio.codecs import NARROW, WIDE
from recording.audio.payloads import FlacPayload, RawPayload, UndecodedPacket
from recording.audio.stream_writer import WidebandError
from recording.audio.timeline import Timeline
from recording.audio.track_counts import TrackFacts
from recording.errors import SpoolError
from recording.files.atomic import PendingFile
from recording.policy import GapReason, Trigger
from recording.spool import (
    EventRecord,
    Field,
    LossReason,
    LostRecord,
    PacketRecord,
    SpoolHeader,
    SpoolReader,
)
from recording.spool.burst import BurstRecord, unpack_burst
from recording.spool.packet_counts import CHANNELS
from recording.spool.recovery import SpoolKeys

_STEP_US = 500_000
_MINUTE_US = 60_000_000
_WORTHWHILE_S = 5
"""The seconds of audio that are collected before they are written."""
_US = 1_000_000
_PAYMENTS = {GapReason.PAYMENT.value, GapReason.ERASED.value}
"""The reasons of the gaps in which a payment was made, or may have begun."""


@dataclass(frozen=True, slots=True)
class SealedAudio:
    """The result of sealing a call's audio. `rate` is in Hz. `file_key` opens the payload."""

    file_key: bytes = field(repr=False)
    facts: CallFacts
    rate: int
    tracks: list[TrackFacts]
    lives: list[SpoolFacts]
    packets: list[PacketStretch]


class SealingPass:
    """Processes the spools of a call one after another, at one sample rate.

    For each spool, call `begin`, then `take` for each record, then `end`. After the last spool,
    call `finish`. Call `write` each time that `take` yields.
    """

    def __init__(self, rate: int, started_wall_us: int, near_pause_s: float = 0.0) -> None:
        self.timeline = Timeline(rate)
        self.cards = CardFilter(rate, near_pause_s)
        self._undecoded: deque[UndecodedPacket] = deque()
        """The undecodable packets that wait until the audio of the same time is released."""
        self.facts = CallFacts(started_wall_us)
        self.packets = PacketLedger()
        self.lives: list[SpoolFacts] = []
        self._first: SpoolHeader | None = None
        self._last: SpoolHeader | None = None
        self._same_process = False
        self._last_index = 0
        self._complete = False
        """True if nothing was lost between the previous spool and the current spool.

        Only the event `goes-on` of the current spool proves this, because it has the index of the
        previous spool's last frame.
        """
        self._spool_start_us = 0
        self._advanced_us = 0
        self._interruption_open = False
        self._losses: list[tuple[Interval, LossReason]] = []
        """The newest losses, whose time was not made silent yet."""

    def begin(self, spool: SpoolReader) -> None:
        """Begin the call's next spool, before its first record."""
        header, last = spool.header, self._last
        self._first, self._last = self._first or header, header
        self._spool_start_us = header.us_after(self._first)
        self._interruption_open = bool(self.lives) and self.lives[-1].interrupted
        self._same_process = last is not None and header.continues(last)
        self._complete = False
        self.facts.begin_spool(spool.index_salt)
        if last is None and header.life > 1:
            self.facts.beginning_missing = True
        self.timeline.mark_break()

    def take(self, record: object) -> Iterator[None]:
        """Process a record. Yield each time that `_WORTHWHILE_S` seconds can be written."""
        shift = self._spool_start_us
        if isinstance(record, BurstRecord):
            yield from self._burst(record, shift - self.facts.answer_us)
        elif isinstance(record, PacketRecord):
            yield from self._packet(record, record.at_us + shift - self.facts.answer_us)
        elif isinstance(record, EventRecord):
            if record.kind == "answered" and not self.facts.answered:
                self._note_missing_beginning(record)
            at_us = self.facts.offset_of(record, record.at_us + shift)
            self._end_interruption(at_us)
            self._event(at_us, record)
            yield from self._advance(at_us)
        elif isinstance(record, LostRecord):
            if record.from_us is not None:
                self._end_interruption(record.from_us + shift - self.facts.answer_us)
            loss = self.facts.lost(record, shift - self.facts.answer_us)
            if loss is not None:
                self._losses.append((loss, record.why))
            if record.why is not LossReason.ERASED:
                self.packets.lost()
            self.timeline.mark_break()

    def end(self, spool: SpoolReader) -> None:
        """Store the facts about a spool in `lives`, after its final record."""
        life = spool.header.life
        self.lives.append(SpoolFacts(life, spool.interrupted, spool.truncated, spool.damaged))
        self._last_index = spool.last_index

    @property
    def held_bytes(self) -> int:
        """The bytes of the audio and the undecodable packets that are in memory."""
        packets = sum(len(packet.data) for packet in self._undecoded)
        return packets + self.timeline.held_bytes + self.cards.held_bytes

    def write(self, flac: FlacPayload, raw: RawPayload) -> None:
        """Write the audio that can no longer change, and the undecodable packets of the same time.

        Before `finish`, the last ten seconds are kept back, and also audio that may belong to a
        card number. Raises `ArchiveError`, `OSError`.
        """
        for block in self.timeline.blocks():
            self.cards.feed(block)
        flac.write_all(self.cards.blocks())
        raw.write_all(self.facts.started_us, self._released_packets())

    def finish(self, flac: FlacPayload, raw: RawPayload) -> SealedAudio:
        """Write the rest of the audio. Raises `ArchiveError`, `OSError`."""
        self.facts.finish()
        talk_us = self.facts.talk_us
        self._silence_losses()
        self.timeline.finish(talk_us)
        self.write(flac, raw)
        self.cards.finish()
        self.write(flac, raw)
        flac.close()
        rate = self.timeline.rate
        for spans, reason in (
            (self.cards.captured, GapReason.CAPTURED_CARD),
            (self.cards.near_pause, GapReason.ERASED),
        ):
            each = (Interval(start * _US // rate, end * _US // rate) for start, end in spans)
            self.facts.silenced(each, reason)
        packets = self.packets.finish(
            talk_us, self.timeline.progress, interrupted=self.facts.ended_us is None
        )
        return SealedAudio(
            flac.file_key, self.facts, self.timeline.rate, self.timeline.counts, self.lives, packets
        )

    @property
    def _is_worthwhile(self) -> bool:
        return self.timeline.ready_samples >= _WORTHWHILE_S * self.timeline.rate

    def _released_packets(self) -> Iterator[UndecodedPacket]:
        """Yield undecodable packets to write, without those of silenced digits.

        A packet waits until the audio of its arrival and of its RTP timestamp is released.
        """
        rate = self.timeline.rate
        self._undecoded.extend(self.timeline.undecoded())
        while self._undecoded:
            packet = self._undecoded[0]
            times = packet.arrived_us, (packet.from_us, packet.to_us)
            spans = [(start * rate // _US, -(-end * rate // _US)) for start, end in times]
            if not self.cards.ended and max(end for _, end in spans) > self.cards.released:
                return
            self._undecoded.popleft()
            if not any(self.cards.is_silenced(*span) for span in spans):
                yield packet

    def _end_interruption(self, at_us: int) -> None:
        """End the interruption after a spool without an END frame, at the first new record.

        If a disk failed, the same process continues the call in a new spool. The new spool begins
        with copies of events. A copy does not end the interruption.
        """
        since = self.facts.last_us
        if self._interruption_open and not (self._same_process and at_us <= since):
            was_in_gap = self.facts.in_gap
            self.facts.interrupted(max(0, at_us), moved=self._same_process, complete=self._complete)
            self._interruption_open = False
            if not self._complete:
                self.packets.interrupted()
            if self.facts.in_gap and not was_in_gap:
                self.timeline.begin_gap(since)

    def _packet(self, record: PacketRecord, at_us: int) -> Iterator[None]:
        self._end_interruption(at_us)
        if self._losses:
            self._silence_losses()
        self.packets.read_one(record.track, at_us)
        self.timeline.packet(record.track, at_us, record.data)
        self.facts.reached(at_us)
        yield from self._advance(at_us)

    def _advance(self, at_us: int) -> Iterator[None]:
        """Advance the timeline in steps of at most one minute, and yield as `take` does.

        Without the steps, the audio of a long time without packets would fill the memory.
        """
        while at_us - self._advanced_us >= _STEP_US:
            self._advanced_us = min(at_us, self._advanced_us + _MINUTE_US)
            self.timeline.advance(self._advanced_us)
            if self._is_worthwhile:
                yield

    def _burst(self, record: BurstRecord, shift_us: int) -> Iterator[None]:
        """Process a burst. The effect is that of `_packet` for each of its packets."""
        self._end_interruption(int(record.at_us[0]) + shift_us)
        self._silence_losses()
        self.packets.read(record.track, record.at_us + shift_us)
        for now_us in self.timeline.burst(record, shift_us, self._advanced_us, _STEP_US):
            self._advanced_us = now_us
            self.timeline.advance(now_us)
            if self._is_worthwhile:
                yield
        self.facts.reached(int(np.max(record.at_us)) + shift_us)

    def _note_missing_beginning(self, event: EventRecord) -> None:
        """Note that the recording's beginning is missing, if the first spool continues a call."""
        if answered_before_us(event) and self._first is self._last:
            self.facts.beginning_missing = True

    def _event(self, at_us: int, event: EventRecord) -> None:
        was_in_gap, was_payment = self.facts.in_gap, self.facts.gap_reason in _PAYMENTS
        self.facts.event(at_us, event)
        if was_payment or self.facts.gap_reason in _PAYMENTS:
            position = max(0, at_us) * self.timeline.rate // _US
            begins_erased = self.facts.gap_reason == GapReason.ERASED
            self.cards.mark_pause_edge(position, begins_erased=begins_erased)
        if event.kind == "media":
            self.timeline.set_payload_types(*payloads_of(event.fields))
        elif event.kind == "goes-on":
            self._complete = self._goes_on_from_the_last(event.fields)
        elif event.kind in {"hold", "resume"}:
            self.timeline.mark_break(at_us)
        elif event.kind == "lost":
            self._lost_by_kernel(at_us, event.fields)
        if event.kind in {"segment", "gap-start", "gap-end"}:
            by_storage = event.fields.get("trigger") == Trigger.STORAGE.value
            self._silence_losses(at_us if by_storage else None)
        if self.facts.in_gap and (event.kind == "gap-start" or not was_in_gap):
            self.timeline.end_gap(at_us)
            self.timeline.begin_gap(at_us)
        elif was_in_gap and not self.facts.in_gap:
            self.timeline.end_gap(at_us)
        if event.kind in EVENTS:
            self.packets.event(at_us, event.kind, event.fields, self.timeline.progress)

    def _lost_by_kernel(self, at_us: int, fields: Mapping[str, Field]) -> None:
        track = fields.get("track")
        if isinstance(track, int):
            self.timeline.mark_lost(track, at_us)

    def _silence_losses(self, refused_from_us: int | None = None) -> None:
        """Make the time of each new loss silent, because it becomes a gap.

        At `refused_from_us`, a gap begins because the disk refused writes. Damage from there on is
        not a gap of its own, because the spool lacks only the refused frames.
        """
        for loss, why in self._losses:
            is_refused = (
                why is LossReason.DAMAGED
                and refused_from_us is not None
                and refused_from_us - SPACING_US < loss.from_us
            )
            if not is_refused:
                self.timeline.silence(loss.from_us, loss.to_us)
        self._losses.clear()

    def _goes_on_from_the_last(self, fields: Mapping[str, Field]) -> bool:
        """Return True if the previous spool was read up to its final frame (event `goes-on`)."""
        life, after = fields.get("life"), fields.get("after")
        follows = self._same_process and self.lives[-1].life == life
        return follows and isinstance(after, int) and after <= self._last_index


def seal_audio(
    fd: int,
    raw: RawPayload,
    spools: Sequence[Path],
    keys: SpoolKeys,
    call_id: str,
    *,
    near_pause_s: float = 0.0,
) -> SealedAudio:
    """Seal the audio of a call into the empty file `fd`. Write undecodable packets to `raw`.

    The sample rate is 8 kHz, or 16 kHz if there is a wideband packet. `CardFilter` describes
    `near_pause_s`.

    Raises:
        SpoolError: There is no spool, or a spool cannot be opened.
        SpoolKeyError: There is a spool that none of the keys opens.
        ArchiveError: The payload cannot be written.
        OSError: A read or write on the disk failed.
    """
    try:
        readers = _in_order(spools, keys)
        return _write_at(NARROW, fd, raw, readers, call_id, near_pause_s=near_pause_s)
    except WidebandError:
        os.ftruncate(fd, 0)
        readers = _in_order(spools, keys)
        return _write_at(WIDE, fd, raw, readers, call_id, near_pause_s=near_pause_s)


def _write_at(
    rate: int,
    fd: int,
    raw: RawPayload,
    readers: Sequence[SpoolReader],
    call_id: str,
    *,
    near_pause_s: float,
) -> SealedAudio:
    if not readers:
        raise SpoolError(f"{call_id} has no spool")
    with contextlib.ExitStack() as stack:
        for reader in readers:
            stack.callback(reader.close)
        reading = SealingPass(rate, readers[0].header.started_wall_us, near_pause_s)
        flac = FlacPayload(fd, rate, call_id)
        stack.callback(flac.discard)
        raw.begin(flac.file_key, call_id, CHANNELS)
        for reader in readers:
            reading.begin(reader)
            for record in reader.batched(unpack_burst):
                for _ in reading.take(record):
                    reading.write(flac, raw)
            reading.end(reader)
        return reading.finish(flac, raw)


def _in_order(spools: Iterable[Path], keys: SpoolKeys) -> list[SpoolReader]:
    readers: list[SpoolReader] = []
    try:
        for path in spools:
            readers.append(keys.open(path))  # noqa: PERF401 - the `except` closes these
    except (SpoolError, OSError):
        for reader in readers:
            reader.close()
        raise
    return sorted(readers, key=lambda reader: reader.header.life)


def spool_faults(sound: SealedAudio) -> list[FaultFacts]:
    """Return a fault for each spool that is damaged, and for each that was not closed properly."""
    return [
        FaultFacts(sound.facts.talk_us, f"spool {life.life} {what}")
        for life in sound.lives
        for what, true in (("was damaged", life.damaged), ("has no end", life.interrupted))
        if true
    ]


class LiveSealing:
    """Seals a call while it is in progress, so that little work remains at its end.

    The call must have only one spool. Only frames that can no longer change are read. If the spool
    is incomplete or damaged, the whole call must be sealed again with `seal_audio`.

    Every method raises the errors of `seal_audio`. After an error, only `discard` may be called.
    `held_bytes` is the size of the call's data in memory after the latest `step`.
    """

    def __init__(
        self,
        part: PendingFile,
        raw: RawPayload,
        spool: Path,
        keys: SpoolKeys,
        call_id: str,
        *,
        near_pause_s: float = 0.0,
    ) -> None:
        self.part = part
        self.raw = raw
        self.spool = spool
        self._keys = keys
        self._call_id = call_id
        self._near_pause_s = near_pause_s
        self.held_bytes = 0
        self._begin(NARROW)

    def _begin(self, rate: int) -> None:
        self._reader = self._keys.follow(self.spool)
        with contextlib.ExitStack() as stack:
            stack.callback(self._reader.close)
            started_us = self._reader.header.started_wall_us
            self._reading = SealingPass(rate, started_us, self._near_pause_s)
            self._flac = FlacPayload(self.part.fd, rate, self._call_id)
            self.raw.begin(self._flac.file_key, self._call_id, CHANNELS)
            stack.pop_all()
        self._reading.begin(self._reader)

    def step(self, frames: int) -> bool:
        """Seal up to `frames` more frames (of about a second) that can no longer change.

        Return False if there are no more such frames at present.
        """
        try:
            more = self._take(frames)
        except WidebandError:
            self._restart_wideband()
            return True
        self._reading.write(self._flac, self.raw)
        self.held_bytes = self._reading.held_bytes + self._flac.held_bytes
        return more

    def _take(self, frames: int) -> bool:
        for _ in range(frames):
            records = self._reader.take(unpack_burst)
            if records is None:
                return False
            for record in records:
                for _ in self._reading.take(record):
                    self._reading.write(self._flac, self.raw)
        return True

    def finish(self) -> SealedAudio | None:
        """Seal the rest of the spool after the end of the call, and return the result.

        None if the spool is incomplete or damaged. The call must then be sealed with `seal_audio`.
        """
        while self.step(1000):
            pass
        if not self._reader.complete:
            return None
        self._reading.end(self._reader)
        try:
            return self._reading.finish(self._flac, self.raw)
        # One of the packets that `SealingPass.finish` decodes can be the first wideband packet.
        except WidebandError:
            self._restart_wideband()
            return self.finish()

    def discard(self) -> None:
        """Close the spool, and remove the files that were not committed."""
        self._release()
        self.part.discard()
        self.raw.discard()

    def _restart_wideband(self) -> None:
        """Start again from the spool with 16 kHz: then no codec raises `WidebandError`."""
        self._release()
        os.ftruncate(self.part.fd, 0)
        self._begin(WIDE)

    def _release(self) -> None:
        self._flac.discard()
        self._reader.close()
