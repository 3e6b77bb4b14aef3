"""The check of coverage: each answered call against index, archive and waiting spools.

The answered calls are those of the ledger, which `ledger_writer.py` writes. The comparison is in
`recording.index.coverage` and `recording.index.orphans`. Nothing is changed or deleted here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from galwad.desk.archive.files import ArchiveFolder
from galwad.messages import WaitingSpool
from recording.archive.summary import RecordingSummary
from recording.index import orphans
from recording.index.catalogue import Catalogue, Cursor, Filters
from recording.index.coverage import CallCoverage, compare, uncovered_call
from recording.index.custody import Custodian
from recording.index.ledger import AnsweredCall, Ledger
from recording.index.orphans import Orphan, is_young

_MARGIN_S: Final = 60.0
"""A call's answer and its recording's start are two readings of the clock, so they may differ."""
_PAGE: Final = 500
MAX_FINDINGS: Final = 1000
"""The most findings that are listed; if half a disk is lost, more would add nothing."""


@dataclass(slots=True)
class CoverageResult:
    """The result of a check: sums over all calls, and a list of faults.

    `faulty_calls` holds the calls that are not fully explained, in the order of their start.
    `orphans` holds the files, rows and spools without a counterpart. A busy centre has a quarter of
    a million calls a year, so the other calls are only counted.
    """

    calls: int = 0
    in_progress: int = 0
    talk_us: int = 0
    recorded_us: int = 0
    gap_us: int = 0
    unexplained_us: int = 0
    faulty_calls: list[CallCoverage] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)

    def add(self, call: CallCoverage) -> None:
        """Add a call to the sums, and to `faulty_calls` if it is not sound."""
        self.calls += 1
        self.talk_us += call.talk_us
        self.recorded_us += call.recorded_us
        self.gap_us += call.gap_us
        self.unexplained_us += call.unexplained_us
        if not call.is_clean:
            self.faulty_calls.append(call)


class CoverageChecker:
    """Compares the ledger with the index, the archive and the spools that wait."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        custodian: Custodian,
        archive: ArchiveFolder,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._custodian = custodian
        self._archive = archive
        self._clock = clock
        self._archive_lock = asyncio.Lock()
        """Held while one task looks through the archive, so that several requests do so in turn."""
        self._spools: dict[str, orphans.UnsealedSpool] = {}
        self._knows_spools = False
        """True once a finaliser has reported which spools wait."""

    def spools_left(self, spools: Iterable[WaitingSpool]) -> None:
        """Replace the list of waiting spools by the finaliser's report."""
        self._knows_spools = True
        self._spools = {
            each.name: orphans.UnsealedSpool(each.name, each.call_id, each.since, each.why)
            for each in spools
        }

    async def check(
        self, since: float, until: float, calls_in_progress: Collection[str] | None
    ) -> CoverageResult:
        """Check the calls answered in `since` ≤ t < `until`, and the whole archive for orphans.

        `calls_in_progress` is None if the switch is not connected and they are not known.
        """
        result = CoverageResult()
        calls = {
            call.call_id: call
            for call in await self._ledger.between(since - _MARGIN_S, until + _MARGIN_S)
        }

        def add(found: Iterable[CallCoverage]) -> None:
            for each in found:
                if since <= each.started < until:
                    result.add(each)

        async for rows in self._rows(since - _MARGIN_S, until + _MARGIN_S):
            known = [(row, calls.pop(row.call_id, None)) for row in rows]
            add(await asyncio.to_thread(self._cover_all, known))
        for call in calls.values():
            found = await self._without_row(call, calls_in_progress)
            add([found] if found is not None else [])
            result.in_progress += found is None
        result.faulty_calls.sort(key=lambda each: (each.started, each.call_id))
        result.orphans += await self._orphans()
        return result

    async def new_findings(self, result: CoverageResult) -> list[tuple[str, str]]:
        """Return the alarms for new findings, each as a kind and a call id.

        A finding is new if the last check did not have it.
        """
        alarms = {
            f"{_alarm_of(call)} {call.call_id}": (_alarm_of(call), call.call_id)
            for call in result.faulty_calls[:MAX_FINDINGS]
        }
        for orphan in result.orphans[:MAX_FINDINGS]:
            key = f"archive.orphan {orphan.kind} {orphan.name}"
            alarms[key] = ("archive.orphan", orphan.call_id)
        fresh = await self._ledger.new_findings(alarms.keys(), self._clock())
        return [alarms[key] for key in sorted(fresh)]

    async def unexplained_reported(self, call_id: str) -> None:
        """Note that the alarm for this call's unexplained part was raised when it was sealed."""
        await self._ledger.mark_known(f"recording.unexplained {call_id}", self._clock())

    def _cover_all(
        self, known: Iterable[tuple[RecordingSummary, AnsweredCall | None]]
    ) -> list[CallCoverage]:
        return [self._cover(row, call) for row, call in known]

    def _cover(self, row: RecordingSummary, call: AnsweredCall | None) -> CallCoverage:
        return compare(row, self._archive.content(row, "manifest"), call)

    async def _without_row(
        self, call: AnsweredCall, calls_in_progress: Collection[str] | None
    ) -> CallCoverage | None:
        """Return the finding for a call without a row in this time.

        None if the call is in progress, or so recent that its row may still come.
        """
        now = self._clock()
        if call.ended is None and (calls_in_progress is None or call.call_id in calls_in_progress):
            return None
        if is_young(call.answered if call.ended is None else call.ended, now):
            return None
        row = await self._catalogue.get(call.call_id)
        if row is not None:  # the clock was corrected during the call
            return await asyncio.to_thread(self._cover, row, call)
        waiting = next((s for s in self._spools.values() if s.call_id == call.call_id), None)
        if waiting is None and not self._knows_spools:
            text = "it is not indexed, and its spool is not known: start the finaliser"
        elif waiting is None:
            text = "it has neither recording nor spool: look for a `recording.fault` in the journal"
        else:
            text = f"not sealed yet: {waiting.name} waits ({waiting.why or 'not tried'})"
        return uncovered_call(call, now, text)

    async def _rows(self, since: float, until: float) -> AsyncIterator[Sequence[RecordingSummary]]:
        """Yield the recordings of this time in pages, the newest first."""
        after: Cursor | None = None
        while True:
            page = await self._catalogue.search(Filters(since=since, until=until), _PAGE, after)
            yield page.rows
            if page.after is None:
                return
            after = page.after

    async def _orphans(self) -> list[Orphan]:
        now = self._clock()
        async with self._archive_lock:
            folders = await self._catalogue.folders()
            known = folders, await self._custodian.all_disposed(), self._spools
            found = await asyncio.to_thread(
                lambda: list(orphans.orphans(self._archive.folder, *known, now))
            )
        answered = await self._ledger.knows(s.call_id for s in self._spools.values())
        calls = answered | folders.keys()
        return [*found, *orphans.spool_orphans(self._spools, calls, now)]


def _alarm_of(call: CallCoverage) -> str:
    return "recording.missing" if not call.recorded_us else "recording.unexplained"
