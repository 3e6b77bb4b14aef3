"""Coverage: checks that each second of a call is in the recording, or in a gap with a reason.

The module compares three sources: the call's length as the switch measured it, the row in the
index, and the signed manifest. The result contains all contradictions between these sources. The
result also contains the intervals of talk time that are in no segment and in no gap, in
microseconds since the recording's start. The module has no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from recording.archive.accounting import Interval, balance
from recording.archive.manifest import Gap, Manifest, read_manifest
from recording.archive.summary import RecordingSummary
from recording.errors import ManifestError
from recording.index.ledger import AnsweredCall

SLACK_US: Final = 1_000_000
"""The largest accepted difference between a recording's length and the talk time that the switch
measured, in µs."""


@dataclass(frozen=True, slots=True)
class CallCoverage:
    """The coverage of one call's talk time.

    Attributes:
        call_id: The call id.
        started: The time of the answer, in Unix seconds.
        talk_us: The talk time, in microseconds.
        recorded_us: The length of the recorded part of the talk time, in microseconds.
        gaps: The gaps of the recording, the earliest first.
        unexplained: The parts of the talk time that no segment and no gap covers, or that more than
            one of them covers.
    """

    call_id: str
    started: float
    talk_us: int
    recorded_us: int
    gaps: tuple[Gap, ...] = ()
    unexplained: tuple[Interval, ...] = ()
    problems: tuple[str, ...] = ()
    """The contradictions between switch, index and manifest, as texts that also say what to do."""

    @property
    def unexplained_us(self) -> int:
        """The total length of the intervals in `unexplained`, in µs."""
        return sum(span.length_us for span in self.unexplained)

    @property
    def gap_us(self) -> int:
        """The total length of the gaps, in µs. Each gap has a reason why it is not recorded."""
        return sum(gap.length_us for gap in self.gaps)

    @property
    def is_clean(self) -> bool:
        """True if there is no unexplained time and no problem."""
        return not self.unexplained and not self.problems


def uncovered_call(call: AnsweredCall, now: float, why: str) -> CallCoverage:
    """Return the coverage of a call that has no recording. The whole talk time is unexplained.

    `now` is the present time in Unix seconds. `why` is the text of the coverage's only problem.
    """
    ended = now if call.ended is None else call.ended
    talk_us = max(0, round((ended - call.answered) * 1_000_000))
    if call.talk_us is not None:
        talk_us = call.talk_us
    whole = (Interval(0, talk_us),) if talk_us else ()
    return CallCoverage(call.call_id, call.answered, talk_us, 0, (), whole, (why,))


def compare(
    row: RecordingSummary, manifest: bytes | None, call: AnsweredCall | None
) -> CallCoverage:
    """Compare the index, the manifest and the ledger for a recorded call; return the coverage.

    Args:
        row: The call's row in the index.
        manifest: The content of the manifest's file; None if the file is missing.
        call: The call's entry in the ledger; None if the switch did not report the call to the
            desk.
    """
    read, problems = _read(row, manifest)
    gaps = list(row.gaps if read is None else read.gaps)
    segments = [] if read is None else read.segments
    if read is not None:
        problems += _contradictions(row, read)
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
        row.started,
        talk_us,
        found.recorded_us,
        tuple(sorted(gaps)),
        unexplained,
        tuple(problems),
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


def _contradictions(row: RecordingSummary, manifest: Manifest) -> Iterator[str]:
    report = "keep the journal, report it"
    if row.talk_us != manifest.talk_us:
        yield f"index and manifest do not agree on its length: {report}"
    shown = sorted((gap.from_us, gap.to_us, gap.reason) for gap in row.gaps)
    if shown != sorted((gap.from_us, gap.to_us, gap.reason) for gap in manifest.gaps):
        yield f"index and manifest do not agree on its gaps: {report}"
