"""Coverage: checks that each second of a call is in the recording, or in a gap with a reason.

It compares the call's length by the switch, the row in the index and the signed manifest. It also
finds talk time without a segment or gap, packet counts that contradict each other, and packets
stored in gaps (`recording.archive.accounting`). It has no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from recording.archive.accounting import (
    Ignored,
    SilentTrack,
    StoredInGap,
    balance,
    ignored_triggers,
    packet_problems,
    silent_parties,
    stored_in_gaps,
)
from recording.archive.commitments import NO_MANIFEST, compare_file, compare_row
from recording.archive.manifest import Gap, Interval, Manifest, read_manifest
from recording.archive.packet_ledger import SpoolProof
from recording.archive.summary import RecordingSummary
from recording.errors import ManifestError
from recording.index.ledger import AnsweredCall

SLACK_US: Final = 1_000_000
"""The accepted difference in µs between a recording's length and the switch's talk time."""


@dataclass(frozen=True, slots=True)
class CallCoverage:
    """The coverage of one call's talk time. `started` is the time of the answer in Unix seconds.

    `unexplained` has the parts that are in no segment and no gap, or in both.
    """

    call_id: str
    started: float
    talk_us: int
    recorded_us: int
    gaps: tuple[Gap, ...] = ()
    unexplained: tuple[Interval, ...] = ()
    problems: tuple[str, ...] = ()
    """The problems that were found, as texts. Most texts say what to do."""
    packets_differ: bool = False
    """True if one of the problems is that packet counts of the manifest contradict each other."""
    stored_in_gaps: tuple[StoredInGap, ...] = ()
    """Packets stored in gaps of payments or transfers. `problems` has texts about them too."""
    ignored_triggers: tuple[Ignored, ...] = ()
    """Triggers that did not have their whole effect. `problems` has texts about them too."""
    is_unsealed: bool = False
    """True if findings from the spools were added, because the call is not sealed."""
    silent: tuple[SilentTrack, ...] = ()
    """The parties that are not heard in a segment, although they sent packets in it."""
    is_committed: bool = True
    """False if the manifest has no commitments to the number, line and advisor in the row."""
    salt_missing: bool = False
    """As in `RowComparison`."""
    index_changed: bool = False
    """True if a value of the row in the index contradicts the manifest or the audit chain."""
    indexed_start: float | None = None
    """The start according to the row, in Unix seconds; None if there is no row."""

    def with_index_problem(self, problem: str) -> CallCoverage:
        """Return the coverage with one more problem: the index contradicts another source."""
        return replace(self, problems=(*self.problems, problem), index_changed=True)

    def with_spool_proof(self, proof: SpoolProof) -> CallCoverage:
        """Return the coverage of a call that is not sealed, with the findings in its spools."""
        return replace(
            self,
            problems=(*self.problems, *proof.problems),
            stored_in_gaps=proof.stored,
            ignored_triggers=proof.ignored,
            is_unsealed=True,
        )

    def is_between(self, since: float, until: float) -> bool:
        """Return whether the call began in a period in Unix seconds, `until` excluded.

        The start in the row counts too, so a changed start cannot hide the call.
        """
        starts = (self.started, self.indexed_start)
        return any(start is not None and since <= start < until for start in starts)

    @property
    def unexplained_us(self) -> int:
        """The length of `unexplained`, in µs."""
        return sum(span.length_us for span in self.unexplained)

    @property
    def gap_us(self) -> int:
        """The length of the gaps, in µs."""
        return sum(gap.length_us for gap in self.gaps)

    @property
    def is_clean(self) -> bool:
        """True if there is no unexplained time and no problem."""
        return not self.unexplained and not self.problems

    def is_clean_but(self, problems: Collection[str]) -> bool:
        """Return whether there is no unexplained time, and no problem that is not in `problems`."""
        return not self.unexplained and not {*self.problems} - {*problems}


def uncovered_call(call: AnsweredCall, now: float, why: str) -> CallCoverage:
    """Return the coverage of a call without a recording: all of it is unexplained."""
    ended = now if call.ended is None else call.ended
    talk_us = max(0, round((ended - call.answered) * 1_000_000))
    if call.talk_us is not None:
        talk_us = call.talk_us
    whole = (Interval(0, talk_us),) if talk_us else ()
    return CallCoverage(call.call_id, call.answered, talk_us, 0, (), whole, (why,))


def compare(
    row: RecordingSummary, manifest: bytes | None, call: AnsweredCall | None
) -> CallCoverage:
    """Compare the index, the manifest's file (None if it is missing) and the ledger for a call.

    `call` is None if the switch did not report the call to the desk.
    """
    read, problems = _read(row, manifest)
    gaps = list(row.gaps if read is None else read.gaps)
    segments = [] if read is None else read.segments
    compared = compare_file(row, None)[0] if read is None else compare_row(row, read)
    problems += (each for each in compared.problems if each != NO_MANIFEST)
    packets = [] if read is None else packet_problems(read)
    problems += packets
    stored = () if read is None else tuple(stored_in_gaps(read.packets))
    problems += map(str, stored)
    ignored: tuple[Ignored, ...] = ()
    if read is not None:
        given = read.triggers, read.gaps, read.segments, read.talk_us
        ignored = tuple(ignored_triggers(*given))
        problems += map(str, ignored)
    talk_us = row.talk_us if read is None else read.talk_us
    switch_us = None if call is None else call.talk_us
    if switch_us is not None and switch_us < talk_us - SLACK_US:
        problems.append(
            f"it is {(talk_us - switch_us) / 1e6:.1f} s longer than the call was: "
            "keep the journal, report it"
        )
    if switch_us is not None and switch_us > talk_us + SLACK_US:
        talk_us = switch_us
    found = balance(talk_us, segments, gaps)
    unexplained = tuple(found.unaccounted)
    return CallCoverage(
        row.call_id,
        row.started if read is None else read.started_us / 1_000_000,
        talk_us,
        found.recorded_us,
        tuple(sorted(gaps)),
        unexplained,
        tuple(problems),
        packets_differ=bool(packets),
        stored_in_gaps=stored,
        ignored_triggers=ignored,
        silent=() if read is None else tuple(silent_parties(read)),
        is_committed=compared.is_committed,
        salt_missing=compared.salt_missing,
        index_changed=read is not None and bool(compared.problems),
        indexed_start=row.started,
    )


def _read(row: RecordingSummary, manifest: bytes | None) -> tuple[Manifest | None, list[str]]:
    restore = f"restore {row.call_id}.manifest from a copy"
    if manifest is None:
        return None, [f"its manifest is missing from the archive: {restore}"]
    if hashlib.sha256(manifest).hexdigest() != row.manifest_sha256:
        return None, [f"its manifest is not the one that was indexed: {restore}"]
    try:
        return read_manifest(manifest), []
    except ManifestError as error:
        return None, [f"{error}: {restore}"]
