"""Seals the spools of one call into one FLAC file, which is written directly as an age payload.

The monotonic clock, which all lives of a call share, puts their spools on one time axis. Plaintext
exists only in memory, and never more of it than the timeline's window. Nothing that was sealed
stays in memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recording.archive.call_facts import CallFacts, payloads_of
from recording.archive.manifest import FaultFacts, SpoolFacts, TrackFacts
from recording.audio.codecs import NARROW, WIDE
from recording.audio.flac_payload import FlacPayload
from recording.audio.raw_packets import RawPayload
from recording.audio.timeline import Timeline, TrackCount, WidebandError
from recording.errors import SpoolError, SpoolHeaderError
from recording.spool import (
    EventRecord,
    Field,
    LostRecord,
    PacketRecord,
    SpoolHeader,
    SpoolReader,
    read_header,
    read_spool,
)
from recording.spool.burst import BurstRecord, unpack_burst
from recording.spool.follower import SpoolFollower
from recording.spool.recovery import boot_key_for

_STEP_US = 500_000
_MINUTE_US = 60_000_000
CHANNELS = ("caller", "advisor")


@dataclass(frozen=True, slots=True)
class SpoolKeys:
    """The keys that open spools, and the folder of keys that are not published yet."""

    boot_key: bytes | None
    """The key under which new spools' keys are wrapped; None if there is no such key."""
    runtime_keys: Path | None = None
    spool_keys: dict[int, bytes] = field(default_factory=dict)
    """The spool keys that were recovered with a recipient's identity, by life."""
    other_boot_keys: tuple[bytes, ...] = ()
    """Other boot keys of this machine, under which some spools' keys may be wrapped."""

    def open(self, path: Path) -> SpoolReader:
        """Open one spool. Raises `SpoolError`, `OSError`."""
        header = _checked_header(path)
        return read_spool(
            path,
            boot_key=self._of(header),
            spool_key=self.spool_keys.get(header.life),
            runtime_keys_folder=self.runtime_keys,
        )

    def follow(self, path: Path) -> SpoolFollower:
        """Open one spool that is still being written. Raises `SpoolError`, `OSError`."""
        return SpoolFollower.open(path, self._of(_checked_header(path)))

    def _of(self, header: SpoolHeader) -> bytes | None:
        return (
            boot_key_for(header, self.other_boot_keys) if self.other_boot_keys else None
        ) or self.boot_key


def _checked_header(path: Path) -> SpoolHeader:
    """Return a spool's header after a check that the file has the name that its header gives.

    A renamed file would otherwise be archived as another call.

    Raises:
        SpoolHeaderError: The file's name is not the one in its header, or there is no header.
        OSError: The file cannot be read.
    """
    header = read_header(path)
    its_own = f"{header.call_id}.{header.life}.spool"
    if path.name != its_own:
        raise SpoolHeaderError(f"{path.name} is {its_own}, renamed or copied: move it away")
    return header


@dataclass(frozen=True, slots=True)
class SealedAudio:
    """The facts about a finished payload: its file key, length, tracks, spools and events."""

    file_key: bytes = field(repr=False)
    facts: CallFacts
    talk_us: int
    rate: int
    tracks: list[TrackFacts]
    lives: list[SpoolFacts]


class SealingPass:
    """One pass over the spools of a call.

    Call `begin` for each spool, `take` for each of its records and `end` after the last one. Call
    `write` whenever `take` yields, and `finish` after the last spool.
    """

    def __init__(self, rate: int, started_wall_us: int) -> None:
        self.timeline = Timeline(rate)
        self.facts = CallFacts(started_wall_us)
        self.lives: list[SpoolFacts] = []
        self._first_us = started_wall_us
        self._first: SpoolHeader | None = None
        self._last: SpoolHeader | None = None
        self._same_process = False
        self._last_index = 0
        self._complete = False
        """True if the last spool was read up to the point at which this one continues."""
        self._spool_start_us = 0
        self._answer_us = 0
        self._advanced_us = 0
        self._interruption_open = False

    def begin(self, spool: SpoolReader) -> None:
        """Continue with this spool, from which no record was read yet."""
        header, last = spool.header, self._last
        self._first, self._last = self._first or header, header
        self._spool_start_us = header.us_after(self._first)
        self._interruption_open = bool(self.lives) and self.lives[-1].interrupted
        self._same_process = last is not None and header.continues(last)
        self._complete = False
        if last is None and header.life > 1:
            self.facts.beginning_missing = True
        self.timeline.mark_break()

    def take(self, record: object) -> Iterator[None]:
        """Process a spool's next record; yield each time that blocks may be ready to `write`."""
        shift = self._spool_start_us
        if isinstance(record, BurstRecord):
            yield from self._burst(record, shift - self._answer_us)
        elif isinstance(record, PacketRecord):
            yield from self._packet(record, record.at_us + shift - self._answer_us)
        elif isinstance(record, EventRecord):
            if record.kind == "answered" and not self.facts.answered:
                self._answered(record, record.at_us + shift)
            at_us = max(0, record.at_us + shift - self._answer_us)
            self._end_interruption(at_us)
            self._event(at_us, record)
            yield from self._advance(at_us)
        elif isinstance(record, LostRecord):
            if record.from_us is not None:
                self._end_interruption(record.from_us + shift - self._answer_us)
            self.facts.lost(record, shift - self._answer_us)
            self.timeline.mark_break()

    def end(self, spool: SpoolReader) -> None:
        """Note the state of a spool whose records were all taken."""
        life = spool.header.life
        self.lives.append(SpoolFacts(life, spool.interrupted, spool.truncated, spool.damaged))
        self._last_index = spool.last_index

    def write(self, flac: FlacPayload, raw: RawPayload) -> None:
        """Seal the blocks and undecodable packets that are final.

        Raises `ArchiveError`, `OSError`.
        """
        flac.write_all(self.timeline.blocks())
        raw.write_all(self.facts.started_us, self.timeline.undecoded())

    def finish(self, flac: FlacPayload, raw: RawPayload) -> SealedAudio:
        """Complete the audio and the facts after the last spool.

        Raises `ArchiveError`, `OSError`.
        """
        talk_us = self.facts.finish()
        self.timeline.finish(talk_us)
        self.write(flac, raw)
        flac.close()
        tracks = list(_track_facts(self.timeline.counts))
        return SealedAudio(
            flac.file_key, self.facts, talk_us, self.timeline.rate, tracks, self.lives
        )

    def _end_interruption(self, at_us: int) -> None:
        """Note the end of an interruption at the first new record of the spool after it.

        `at_us` is the record's time. A spool that continues on another disk first repeats events
        of the last spool; these are not new.
        """
        since = self.facts.last_us
        if self._interruption_open and not (self._same_process and at_us <= since):
            was_in_gap = self.facts.in_gap
            self.facts.interrupted(max(0, at_us), moved=self._same_process, complete=self._complete)
            self._interruption_open = False
            if self._same_process and self.facts.in_gap and not was_in_gap:
                self.timeline.begin_gap(since)

    def _packet(self, record: PacketRecord, at_us: int) -> Iterator[None]:
        self._end_interruption(at_us)
        self.timeline.packet(record.track, at_us, record.data)
        self.facts.reached(at_us)
        yield from self._advance(at_us)

    def _advance(self, at_us: int) -> Iterator[None]:
        """Advance the timeline to `at_us` in steps of at most a minute.

        This happens even if no packet arrives, so that a long silence does not fill the memory.
        """
        while at_us - self._advanced_us >= _STEP_US:
            self._advanced_us = min(at_us, self._advanced_us + _MINUTE_US)
            self.timeline.advance(self._advanced_us)
            yield

    def _burst(self, record: BurstRecord, shift_us: int) -> Iterator[None]:
        """Do for all packets of a burst what `_packet` does for one."""
        self._end_interruption(int(record.at_us[0]) + shift_us)
        for now_us in self.timeline.burst(record, shift_us, self._advanced_us, _STEP_US):
            self._advanced_us = now_us
            self.timeline.advance(now_us)
            yield
        self.facts.reached(int(np.max(record.at_us)) + shift_us)

    def _answered(self, event: EventRecord, at_us: int) -> None:
        """Set the recording's start: the call's answer.

        After a restart the event says how long ago the answer was (`since_us`). If there is no
        earlier spool to read, the recording's beginning is missing.
        """
        since = event.fields.get("since_us")
        since_us = since if isinstance(since, int) else 0
        if since_us and self._first is self._last:
            self.facts.beginning_missing = True
        self._answer_us = at_us - since_us
        self.facts.started_us = self._first_us + self._answer_us

    def _event(self, at_us: int, event: EventRecord) -> None:
        was_in_gap = self.facts.in_gap
        self.facts.event(at_us, event)
        if event.kind == "media":
            self.timeline.set_payload_types(*payloads_of(event.fields))
        elif event.kind == "goes-on":
            self._complete = self._goes_on_from_the_last(event.fields)
        elif event.kind in {"hold", "resume"}:
            self.timeline.mark_break(at_us)
        if self.facts.in_gap and (event.kind == "gap-start" or not was_in_gap):
            self.timeline.end_gap(at_us)
            self.timeline.begin_gap(at_us)
        elif was_in_gap and not self.facts.in_gap:
            self.timeline.end_gap(at_us)

    def _goes_on_from_the_last(self, fields: Mapping[str, Field]) -> bool:
        """Return whether the last spool was read up to the point at which this one continues."""
        life, after = fields.get("life"), fields.get("after")
        follows = self._same_process and self.lives[-1].life == life
        return follows and isinstance(after, int) and after <= self._last_index


def seal_audio(
    fd: int, raw: RawPayload, spools: Sequence[Path], keys: SpoolKeys, call_id: str
) -> SealedAudio:
    """Seal the audio of a call into the empty file `fd`.

    The audio has 8 kHz, or 16 kHz if any of the call was wideband. Packets that cannot be decoded
    go into `raw`.

    Raises:
        SpoolError: There is no spool, or one cannot be opened (`SpoolKeyError`: with these keys).
        ArchiveError: The payload cannot be written.
        OSError: The disk refuses.
    """
    try:
        return _write_at(NARROW, fd, raw, _in_order(spools, keys), call_id)
    except WidebandError:
        os.ftruncate(fd, 0)
        return _write_at(WIDE, fd, raw, _in_order(spools, keys), call_id)


def _write_at(
    rate: int, fd: int, raw: RawPayload, readers: Sequence[SpoolReader], call_id: str
) -> SealedAudio:
    if not readers:
        raise SpoolError(f"{call_id} has no spool")
    with contextlib.ExitStack() as stack:
        for reader in readers:
            stack.callback(reader.close)
        reading = SealingPass(rate, readers[0].header.started_wall_us)
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
            readers.append(keys.open(path))  # noqa: PERF401 - those opened must be closed
    except (SpoolError, OSError):
        for reader in readers:
            reader.close()
        raise
    return sorted(readers, key=lambda reader: reader.header.life)


def _track_facts(counts: Iterable[TrackCount]) -> Iterator[TrackFacts]:
    for channel, count in zip(CHANNELS, counts, strict=True):
        yield TrackFacts(
            channel,
            dict(count.codecs),
            count.received,
            count.lost,
            count.late,
            count.duplicate,
            count.malformed,
            count.undecoded,
            count.withheld,
        )


def spool_faults(sound: SealedAudio) -> list[FaultFacts]:
    """Return a fault for each spool that was damaged or has no end."""
    return [
        FaultFacts(sound.talk_us, f"spool {life.life} {what}")
        for life in sound.lives
        for what, true in (("was damaged", life.damaged), ("has no end", life.interrupted))
        if true
    ]
