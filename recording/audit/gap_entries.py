"""Finds the audit entries that belong to the gaps of a recording, by their times and actors.

The chain has an entry for each pause and resume that a page or the API requested, and for each card
number keyed outside a pause. Every other cause, such as a transfer or a phone's key, is only in the
signed manifest, whose digest is in the entry `recording.indexed`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from recording.archive.manifest import ClockCheck, Gap
from recording.audit.chain import ChainEntry, same_kinds
from recording.policy import GapReason, Trigger

PAUSED: Final = "payment.pause"
RESUMED: Final = "payment.resume"
CARD_CAPTURED: Final = "recording.captured-card"
INDEXED: Final = "recording.indexed"
SPACING_US: Final = 10_000_000
"""The largest distance in µs between the edge of a gap and the time of its audit entry.

The desk writes the entry of a pause after the switch has replied, and of a resume before it asks
the switch. Both may wait some seconds for the disk.
"""
_AUDITED: Final = frozenset({Trigger.PAGE.value, Trigger.API.value})
_RELEASED: Final = _AUDITED | {Trigger.PHONE.value, Trigger.DTMF.value}


class Proof(StrEnum):
    """The place in the audit chain where the cause of a gap is proven."""

    ENTRY = "entry"
    """The gap has an entry of its own."""
    MANIFEST = "manifest"
    """The cause is in the manifest, whose digest is in an entry."""
    MISSING = "missing"
    """The chain should have an entry, and has none."""


@dataclass(frozen=True, slots=True)
class GapEntries:
    """A gap, its edges by the wall clock in µs since 1970, and the numbers of its audit entries.

    `then` says what follows: "recorded", "gap" (at once) or "end". The entry `stopped_by` proves
    the cause, and the entry `resumed_by` is about the resume that ended the gap. Each is None if
    there is no such entry.
    """

    gap: Gap
    began_us: int
    ended_us: int
    then: str
    proof: Proof
    stopped_by: int | None = None
    resumed_by: int | None = None


class WallClock:
    """Converts times of a recording to the wall clock, which may have been set during the call."""

    def __init__(self, started_us: int, checks: Iterable[ClockCheck] = ()) -> None:
        """Take the start in µs since 1970, and the manifest's checks of the wall clock."""
        self._started_us = started_us
        self._checks = sorted(checks, key=lambda check: check.at_us)
        self._times = [check.at_us for check in self._checks]

    def at(self, offset_us: int) -> int:
        """Return the wall clock's time in µs since 1970, `offset_us` after the start."""
        place = bisect_right(self._times, offset_us)
        correction = self._checks[place - 1].offset_us if place else 0
        return self._started_us + offset_us + correction


def entries_of_gaps(
    gaps: Iterable[Gap], talk_us: int, wall: WallClock, entries: Sequence[ChainEntry], digest: str
) -> list[GapEntries]:
    """Return the gaps of one recording, sorted by time, each with its audit entries.

    `entries` are the entries about the call, also pauses and resumes at its time that name no call:
    they are for all calls of an advisor. `digest` is the SHA-256 of the manifest in hexadecimal.
    """
    ordered = sorted(gaps)
    indexed = [
        entry.seq
        for entry in entries
        if entry.kind == INDEXED and entry.facts.get("manifest_sha256") == digest
    ]
    found, block_us = [], 0
    for index, gap in enumerate(ordered):
        if not index or ordered[index - 1].to_us < gap.from_us:
            block_us = gap.from_us
        follows = index + 1 < len(ordered) and ordered[index + 1].from_us <= gap.to_us
        then = "gap" if follows else "end" if gap.to_us >= talk_us else "recorded"
        began, ended = wall.at(gap.from_us), wall.at(gap.to_us)
        own = _own_entry(gap, wall.at(block_us), began, ended, entries)
        resumed = _resume(ended, entries) if then == "recorded" and _is_pause(gap) else None
        has_own = _has_own_entry(gap)
        seq = own if has_own else max(indexed, default=None)
        proof = Proof.MISSING if seq is None else Proof.ENTRY if has_own else Proof.MANIFEST
        found.append(GapEntries(gap, began, ended, then, proof, seq, resumed))
    return found


def _has_own_entry(gap: Gap) -> bool:
    if gap.reason == GapReason.CAPTURED_CARD:
        return True
    return gap.trigger in _AUDITED and gap.reason in {GapReason.PAYMENT, GapReason.ERASED}


def _is_pause(gap: Gap) -> bool:
    """Return whether a person or a payment system can resume the recording after this gap."""
    return gap.reason == GapReason.PAYMENT and gap.trigger in _RELEASED


def _own_entry(
    gap: Gap, block_us: int, began_us: int, ended_us: int, entries: Iterable[ChainEntry]
) -> int | None:
    """Return the number of the gap's own entry; None if there is none.

    `block_us` is the start of the first of the gaps that touch each other. A pause can begin during
    another gap. The gap of the pause then begins when the other gap ends. An erased stretch ends
    when the pause begins.
    """
    if gap.reason == GapReason.CAPTURED_CARD:
        cards = (entry for entry in entries if entry.kind == CARD_CAPTURED)
        return next((e.seq for e in cards if e.facts.get("from_us") == gap.from_us), None)
    paused_us = ended_us if gap.reason == GapReason.ERASED else began_us
    near = [
        entry
        for entry in entries
        if entry.kind in same_kinds(PAUSED)
        and block_us - SPACING_US <= entry.at_us <= paused_us + SPACING_US
        and _actor(entry) in {gap.actor, None}
    ]
    nearest = min(near, key=lambda entry: abs(entry.at_us - paused_us), default=None)
    return None if nearest is None else nearest.seq


def _resume(ended_us: int, entries: Iterable[ChainEntry]) -> int | None:
    near = [
        entry
        for entry in entries
        if entry.kind in same_kinds(RESUMED) and abs(entry.at_us - ended_us) <= SPACING_US
    ]
    # An entry without a call id may be about the calls of another advisor.
    nearest = min(
        near,
        key=lambda entry: (not entry.facts.get("call_id"), abs(entry.at_us - ended_us)),
        default=None,
    )
    return None if nearest is None else nearest.seq


def _actor(entry: ChainEntry) -> str | None:
    """Return who caused the entry; None if the name was erased."""
    _, actor = entry.values.get("actor", (b"", None))
    return actor
