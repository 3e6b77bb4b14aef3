"""Coverage: checks that each second of a call is recorded, or missing for a recorded reason.

There is no I/O here. Three sources are compared: the call's length as the switch measured it, the
row in the index, and the signed manifest. Disagreements are reported. Time that none of them
explains is shown as intervals, in microseconds since the recording's start.
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
"""Accepted difference between the switch's and the recording's length of a call, in µs."""


@dataclass(frozen=True, slots=True)
class CallCoverage:
    """The coverage of one call's talk time; `started` in Unix seconds."""

    call_id: str
    started: float
    talk_us: int
    recorded_us: int
    gaps: tuple[Gap, ...] = ()
    unexplained: tuple[Interval, ...] = ()
    problems: tuple[str, ...] = ()
    """The contradictions between the sources, each with the action to take."""

    @property
    def unexplained_us(self) -> int:
        """Talk time that nothing explains, or that both a segment and a gap claim, in µs."""
        return sum(span.length_us for span in self.unexplained)

    @property
    def gap_us(self) -> int:
        """Talk time that is missing for a reason, in µs."""
        return sum(gap.length_us for gap in self.gaps)

    @property
    def is_clean(self) -> bool:
        """True if there is nothing unexplained and no problem."""
        return not self.unexplained and not self.problems


def uncovered_call(call: AnsweredCall, now: float, why: str) -> CallCoverage:
    """Return the coverage of a call without any recording: all of it is unexplained."""
    ended = now if call.ended is None else call.ended
    talk_us = max(0, round((ended - call.answered) * 1_000_000))
    if call.talk_us is not None:
        talk_us = call.talk_us
    whole = (Interval(0, talk_us),) if talk_us else ()
    return CallCoverage(call.call_id, call.answered, talk_us, 0, (), whole, (why,))


def compare(
    row: RecordingSummary, manifest: bytes | None, call: AnsweredCall | None
) -> CallCoverage:
    """Compare the three sources on a recorded call.

    Args:
        row: The row of the index.
        manifest: The file's content; None when it is missing.
        call: The ledger's entry; None when the desk did not receive it from the switch.
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
