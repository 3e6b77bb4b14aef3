"""The packet ledger of a call: the packets of each party in each segment and gap.

It has the counts of the switch, from the events `packets`, and counts what is read from the spools.
`recording.archive.accounting` compares them.

`prove` reads the spools of a call that is not sealed, and checks that its pauses took effect. Of a
call in progress, the newest few seconds (the lookback) are not read, because they can still change.
No audio is decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from recording.archive.accounting import Ignored, StoredInGap, ignored_triggers, stored_in_gaps
from recording.archive.call_facts import CallFacts
from recording.archive.manifest import PacketStretch, PartyPackets
from recording.audio.track_counts import Progress
from recording.policy import CONFIDENTIAL
from recording.spool import EventRecord, Field, LossReason, LostRecord, PacketRecord, SpoolReader
from recording.spool.burst import BurstRecord, unpack_burst
from recording.spool.follower import SpoolFollower
from recording.spool.packet_counts import CHANNELS, TRACKS

EVENTS = frozenset({"packets", "lost", "segment", "gap-start", "gap-end"})
"""The kinds of events that the ledger needs."""
_REMEMBERED_US: Final = 180_000_000
"""The time in µs for which arrivals in a segment are remembered.

A gap can begin in the past, by the longest `erase_back` plus the time by which the switch was late.
"""
_Numbers: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.uint8]
_NO_PROGRESS: Final = [Progress(0, 0)] * TRACKS


def _no_packets(channel: str) -> PartyPackets:
    return PartyPackets(
        channel=channel,
        received=None,
        refused=0,
        unwanted=0,
        stored=None,
        dropped={},
        late_us=0,
        read=0,
        unreadable=0,
        heard=0,
        lost_by_network=0,
        lost_by_kernel=0,
    )


def _add_counts_of_switch(party: PartyPackets, fields: Mapping[str, Field]) -> None:
    received, stored = _count(fields, "received"), _count(fields, "stored")
    if received is not None:
        party.received = (party.received or 0) + received
    if stored is not None:
        party.stored = (party.stored or 0) + stored
    party.refused += _count(fields, "refused") or 0
    party.unwanted += _count(fields, "unwanted") or 0
    party.late_us = max(party.late_us, _count(fields, "late_us") or 0)
    dropped = fields.get("dropped")
    if isinstance(dropped, Mapping):
        for reason in dropped:
            count = _count(dropped, reason)
            if count:
                party.dropped[str(reason)] = party.dropped.get(str(reason), 0) + count


@dataclass(slots=True)
class _Stretch:
    from_us: int
    gap: str | None
    """The reason of the gap; "" for a segment, and None before the first segment or gap."""
    to_us: int | None = None
    parties: list[PartyPackets] = field(default_factory=lambda: list(map(_no_packets, CHANNELS)))
    progress: list[Progress] = field(default_factory=list)
    """The packets of each track that are heard and lost up to the end of the stretch."""
    has_loss: bool = False
    """True if a part of a spool could not be read here."""
    is_interrupted: bool = False
    """True if the switch's process stopped here, or a spool's end is missing."""
    is_dirty: bool = False
    """True if packets were read, or could not be read, after the switch's most recent counts."""

    @property
    def is_confidential(self) -> bool:
        return self.gap in CONFIDENTIAL

    @property
    def is_empty(self) -> bool:
        has_read = any(party.read or party.arrived_in_gap for party in self.parties)
        if has_read or self.gap is None:
            return not has_read
        return self.to_us == self.from_us and not any(
            party.received or party.stored or party.dropped or party.refused or party.lost_by_kernel
            for party in self.parties
        )

    def add_read(self, tracks: _Numbers) -> None:
        for track, party in enumerate(self.parties):
            party.read += int(np.count_nonzero(tracks == track))

    def add_arrived(self, tracks: _Numbers) -> None:
        """Count packets that arrived in this gap, wherever they are in the spools."""
        for track, party in enumerate(self.parties):
            party.arrived_in_gap += int(np.count_nonzero(tracks == track))


class PacketLedger:
    """Collects the packet ledger of one call while its spools are read.

    A packet counts in the stretch in which the switch handled it, even if it arrived in another
    stretch. Times are µs since the recording's start. In addition, `arrived_in_gap` counts the
    packets in the spools that arrived in a payment, transfer or erased gap. It should be 0.
    """

    def __init__(self) -> None:
        self._stretches = [_Stretch(0, None)]
        self._recent: deque[tuple[_Numbers, _Numbers]] = deque()
        """The tracks and arrivals of recent packets in the present segment, the oldest first."""

    @property
    def _now(self) -> _Stretch:
        return self._stretches[-1]

    def read(self, tracks: _Numbers, at_us: _Numbers) -> None:
        """Count packets that were read from a spool, by their tracks and times of arrival."""
        stretch = self._now
        stretch.is_dirty = True
        if not len(at_us):
            return
        stretch.add_read(tracks)
        if stretch.is_confidential:
            stretch.add_arrived(tracks[at_us >= stretch.from_us])
            return
        if (at_us < stretch.from_us).any():
            for earlier in self._stretches:
                if earlier.is_confidential and earlier.to_us is not None:
                    inside = (at_us >= earlier.from_us) & (at_us < earlier.to_us)
                    earlier.add_arrived(tracks[inside])
        # A copy, because `tracks` is a view that would keep the packets in memory.
        self._recent.append((tracks.copy(), at_us))
        while at_us[-1] - self._recent[0][1][-1] > _REMEMBERED_US:
            self._recent.popleft()

    def read_one(self, track: int, at_us: int) -> None:
        """Count a packet that was read from a spool."""
        if track < TRACKS:
            self.read(np.array([track]), np.array([at_us]))

    def lost(self) -> None:
        """Note that a part of a spool cannot be read."""
        self._now.has_loss = self._now.is_dirty = True

    def interrupted(self) -> None:
        """Note that the process of the switch stopped, or that the end of a spool is missing."""
        self._now.is_interrupted = True

    def event(
        self, at_us: int, kind: str, fields: Mapping[str, Field], progress: Sequence[Progress]
    ) -> None:
        """Process an event. `progress` has the packets of each track until this event."""
        stretch = self._now
        match kind:
            case "packets":
                stretch.is_dirty = False
                counts = _mappings(fields.get("tracks"))
                for party, counted in zip(stretch.parties, counts, strict=False):
                    _add_counts_of_switch(party, counted)
            case "lost":
                track = _count(fields, "track")
                if track is not None and track < TRACKS:
                    stretch.parties[track].lost_by_kernel += _count(fields, "count") or 0
            case "segment":
                self._begin(at_us, "", progress)
            case "gap-start":
                reason = fields.get("reason")
                gap = reason if isinstance(reason, str) and reason else "fault"
                # A spool on another disk begins with a copy of the event.
                if (stretch.gap, stretch.from_us) != (gap, at_us):
                    self._begin(at_us, gap, progress)
            case "gap-end":
                stretch.to_us = at_us

    def _begin(self, at_us: int, gap: str, progress: Sequence[Progress]) -> None:
        self._end(at_us, progress)
        stretch = _Stretch(at_us, gap)
        self._stretches.append(stretch)
        if stretch.is_confidential:
            for tracks, arrivals in self._recent:
                stretch.add_arrived(tracks[arrivals >= at_us])
        self._recent.clear()

    def _end(self, at_us: int, progress: Sequence[Progress]) -> None:
        stretch = self._now
        to_us = at_us if stretch.to_us is None else stretch.to_us
        stretch.to_us = max(to_us, stretch.from_us)
        stretch.progress = list(progress)

    def finish(
        self, end_us: int, progress: Sequence[Progress], *, interrupted: bool
    ) -> list[PacketStretch]:
        """Return the ledger. `interrupted` means that the call's end is not in the spools."""
        self._end(end_us, progress)
        if interrupted:
            self.interrupted()
        self._settle()
        before = [Progress(0, 0)] * TRACKS
        found = []
        for stretch in self._stretches:
            if not stretch.is_empty:
                found.append(_facts(stretch, before))
                before = stretch.progress
        return found

    def _settle(self) -> None:
        """Lower each count that is higher than a later count."""
        later = self._now.progress
        for stretch in reversed(self._stretches):
            pairs = zip(stretch.progress, later, strict=True)
            stretch.progress = [
                Progress(min(now.heard, then.heard), min(now.lost, then.lost))
                for now, then in pairs
            ]
            later = stretch.progress


def _facts(stretch: _Stretch, before: Sequence[Progress]) -> PacketStretch:
    is_complete = not (stretch.is_interrupted or stretch.is_dirty or stretch.gap is None)
    for party, now, then in zip(stretch.parties, stretch.progress, before, strict=True):
        if party.stored is None and is_complete and not party.read:
            party.stored = 0
        missing = 0 if party.stored is None or not stretch.has_loss else party.stored - party.read
        is_complete = is_complete and missing >= 0
        party.unreadable = max(0, missing)
        party.heard = now.heard - then.heard
        party.lost_by_network = now.lost - then.lost
    return PacketStretch(
        stretch.from_us,
        stretch.to_us or stretch.from_us,
        stretch.gap or "",
        is_complete,
        stretch.parties,
    )


def _mappings(value: Field) -> list[Mapping[str, Field]]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    return [each if isinstance(each, Mapping) else {} for each in value]


def _count(fields: Mapping[str, Field], name: str) -> int | None:
    """Return a count of an event's fields; None if it is missing or malformed."""
    value = fields.get(name)
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if is_count and isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class SpoolProof:
    """The findings about a call that is not sealed. `unread` says why a spool cannot be read.

    `started` is the time of the answer in Unix seconds; without an answer, the first spool's start.
    """

    call_id: str
    started: float
    stored: tuple[StoredInGap, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    unread: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """All findings as texts."""
        unread = (self.unread,) if self.unread else ()
        return (*map(str, self.stored), *map(str, self.ignored), *unread)


def prove(call_id: str, spools: Sequence[SpoolReader]) -> SpoolProof:
    """Read the spools of one call, sorted by life, and return the findings."""
    first = spools[0].header
    facts, ledger = CallFacts(first.started_wall_us), PacketLedger()
    for spool in spools:
        shift_us = spool.header.us_after(first)
        for record in _records(spool):
            at_us = shift_us - facts.answer_us
            match record:
                case BurstRecord():
                    ledger.read(record.track, record.at_us + at_us)
                    facts.reached(int(record.at_us[-1]) + at_us)
                case PacketRecord():
                    ledger.read_one(record.track, record.at_us + at_us)
                    facts.reached(record.at_us + at_us)
                case EventRecord():
                    now_us = facts.offset_of(record, record.at_us + shift_us)
                    facts.event(now_us, record)
                    if record.kind in EVENTS:
                        ledger.event(now_us, record.kind, record.fields, _NO_PROGRESS)
                case LostRecord() if record.why is not LossReason.ERASED:
                    ledger.lost()
    facts.finish()
    stretches = ledger.finish(facts.talk_us, _NO_PROGRESS, interrupted=facts.ended_us is None)
    return SpoolProof(
        call_id,
        facts.started_us / 1_000_000,
        tuple(stored_in_gaps(stretches)),
        tuple(ignored_triggers(facts.triggers, facts.gaps, facts.segments, facts.talk_us)),
    )


def _records(spool: SpoolReader) -> Iterator[object]:
    if not isinstance(spool, SpoolFollower):
        yield from spool.batched(unpack_burst)
        return
    while (records := spool.take(unpack_burst)) is not None:
        yield from records
