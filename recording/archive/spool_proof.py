"""Reads the spools of a call that is not sealed, and proves that its pauses took effect.

Of a call in progress, only the frames are read that can no longer change, which excludes the newest
few seconds (the lookback). No audio is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from recording.archive.call_facts import CallFacts
from recording.archive.gap_proof import Ignored, StoredInGap, ignored_triggers, stored_in_gaps
from recording.archive.packet_ledger import EVENTS, PacketLedger
from recording.audio.track_sink import Progress
from recording.spool import EventRecord, LossReason, LostRecord, PacketRecord, SpoolReader
from recording.spool.burst import BurstRecord, unpack_burst
from recording.spool.follower import SpoolFollower
from recording.spool.packet_counts import TRACKS

_NO_PROGRESS: Final = [Progress(0, 0)] * TRACKS


@dataclass(frozen=True, slots=True)
class SpoolProof:
    """The findings about a call that is not sealed; `unread` says why a spool cannot be read.

    `started` is the answer in Unix seconds, or without one the start of the first spool.
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
    facts, ledger, answer_us = CallFacts(first.started_wall_us), PacketLedger(), 0
    for spool in spools:
        shift_us = spool.header.us_after(first)
        for record in _records(spool):
            at_us = shift_us - answer_us
            match record:
                case BurstRecord():
                    ledger.read(record.track, record.at_us + at_us)
                    facts.reached(int(record.at_us[-1]) + at_us)
                case PacketRecord():
                    ledger.read_one(record.track, record.at_us + at_us)
                    facts.reached(record.at_us + at_us)
                case EventRecord():
                    if record.kind == "answered" and not facts.answered:
                        since = record.fields.get("since_us")
                        answer_us = record.at_us + shift_us
                        answer_us -= since if isinstance(since, int) else 0
                        at_us = shift_us - answer_us
                        facts.started_us = first.started_wall_us + answer_us
                    now_us = max(0, record.at_us + at_us)
                    facts.event(now_us, record)
                    if record.kind in EVENTS:
                        ledger.event(now_us, record.kind, record.fields, _NO_PROGRESS)
                case LostRecord() if record.why is not LossReason.ERASED:
                    ledger.lost()
    talk_us = facts.finish()
    stretches = ledger.finish(talk_us, _NO_PROGRESS, interrupted=facts.ended_us is None)
    return SpoolProof(
        call_id,
        facts.started_us / 1_000_000,
        tuple(stored_in_gaps(stretches)),
        tuple(ignored_triggers(facts.triggers, facts.gaps, facts.segments, talk_us)),
    )


def _records(spool: SpoolReader) -> Iterator[object]:
    if not isinstance(spool, SpoolFollower):
        yield from spool.batched(unpack_burst)
        return
    while (records := spool.take(unpack_burst)) is not None:
        yield from records
