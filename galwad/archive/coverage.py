"""The coverage check: it compares answered calls with the index, the archive and the spools.

It also compares the rows of the index and the ledger with the manifests and the audit chain.
`IndexChecker` makes only this comparison, for all calls or for a range of call ids. This module
collects the data. The package `recording` compares them. No recording is changed or deleted.
"""

from __future__ import annotations

import asyncio
import calendar
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from galwad.archive.files import ArchiveFolder
from galwad.host.errors import ApiError
from galwad.messages import WaitingSpool
from recording.archive.commitments import OTHER_MANIFEST, SALT_MISSING, RowComparison, compare_file
from recording.archive.packet_ledger import SpoolProof
from recording.archive.summary import RecordingSummary
from recording.audit.index_comparison import EVERY_CALL, CallIds, IndexComparison, IndexFinding
from recording.index import orphans
from recording.index.catalogue import Catalogue, Cursor, Filters
from recording.index.coverage import CallCoverage, compare, uncovered_call
from recording.index.custody import Custodian
from recording.index.ledger import AnsweredCall, Ledger
from recording.index.orphans import YOUNG_S, Orphan, is_young

_MARGIN_S: Final = 60.0
"""Rows that start at most this many seconds before or after the period are read too.

The start of a call may differ between the ledger and the index.
"""
_PAGE: Final = 500
_DAY_S: Final = 86_400.0
MAX_FINDINGS: Final = 1000
"""The most faulty calls and the most orphans for which one check raises alarms.

A response also lists at most this many orphans, silent calls or findings.
"""


@dataclass(slots=True)
class CoverageResult:
    """The result of a coverage check.

    `faulty_calls` did not pass, and are sorted by their start. Calls that passed are only counted,
    because a busy centre has 250,000 a year. A call in `silent_calls` may have passed. In one of
    its segments, nothing is heard of a party that sent packets. `not_committed` counts the
    recordings whose manifest has no commitments to the number, line and advisor.
    """

    calls: int = 0
    in_progress: int = 0
    talk_us: int = 0
    recorded_us: int = 0
    gap_us: int = 0
    unexplained_us: int = 0
    not_committed: int = 0
    faulty_calls: list[CallCoverage] = field(default_factory=list)
    silent_calls: list[CallCoverage] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)
    spools_unread: str = ""
    """The reason why the spools of calls in progress could not be checked; "" if there is none."""

    def add(self, call: CallCoverage) -> None:
        """Add a call to the sums, and to `silent_calls` and `faulty_calls` if it belongs there."""
        self.calls += 1
        self.talk_us += call.talk_us
        self.recorded_us += call.recorded_us
        self.gap_us += call.gap_us
        self.unexplained_us += call.unexplained_us
        self.not_committed += not call.is_committed
        if call.silent:
            self.silent_calls.append(call)
        if not call.is_clean:
            self.faulty_calls.append(call)

    def add_unsealed(self, proof: SpoolProof) -> None:
        """Add the findings from the spools of a call that is not sealed yet."""
        faulty = {call.call_id: call for call in self.faulty_calls}
        call = faulty.get(proof.call_id) or CallCoverage(proof.call_id, proof.started, 0, 0)
        faulty[proof.call_id] = call.with_spool_proof(proof)
        self.faulty_calls = list(faulty.values())

    def add_index_findings(self, findings: Iterable[IndexFinding]) -> None:
        """Add contradictions with the audit chain, also about rows that no longer exist."""
        faulty = {call.call_id: call for call in self.faulty_calls}
        for finding in findings:
            known = faulty.get(finding.call_id)
            # For a known call, the comparison with the manifest has already found this problem.
            if known is None or finding.problem != OTHER_MANIFEST:
                call = known or CallCoverage(finding.call_id, _start_of(finding.call_id), 0, 0)
                faulty[finding.call_id] = call.with_index_problem(finding.problem)
        self.faulty_calls = list(faulty.values())


class CoverageChecker:
    """Compares the calls in the ledger with the index, the archive and the unsealed spools.

    `prove_spools` returns the findings about unsealed spools, and may raise an `ApiError`. If it is
    None, only sealed recordings are checked.
    """

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        custodian: Custodian,
        archive: ArchiveFolder,
        comparison: IndexComparison,
        *,
        prove_spools: Callable[[], Awaitable[Iterable[SpoolProof]]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._prove_spools = prove_spools
        self.ledger = ledger
        self._catalogue = catalogue
        self._custodian = custodian
        self._archive = archive
        self._comparison = comparison
        self.clock = clock
        self._archive_lock = asyncio.Lock()
        """Held while the archive is read through, because only one task at a time may do so."""
        self._spools: dict[str, orphans.UnsealedSpool] = {}
        self._knows_spools = False
        """True if a finaliser has reported the waiting spools since the desk's start."""

    def spools_left(self, spools: Iterable[WaitingSpool]) -> None:
        """Store the finaliser's newest report of files that have waited 5 min in spool folders."""
        self._knows_spools = True
        self._spools = {
            each.name: orphans.UnsealedSpool(each.name, each.call_id, each.since, each.why)
            for each in spools
        }

    async def check(
        self, since: float, until: float, calls_in_progress: Collection[str] | None
    ) -> CoverageResult:
        """Check the calls answered from `since` until `until` (Unix seconds), and find all orphans.

        If `calls_in_progress` is None, because the switch is not connected, each call without an
        end in the ledger counts as in progress.

        Raises:
            AuditError, CatalogueError: The database cannot be read.
            OSError: The archive cannot be read.
        """
        result = CoverageResult()
        calls = {
            call.call_id: call
            for call in await self.ledger.between(since - _MARGIN_S, until + _MARGIN_S)
        }

        removed: set[str] = set()
        covered: set[str] = set()

        def add(found: Iterable[CallCoverage]) -> None:
            for each in found:
                if each.is_between(since, until):
                    result.add(each)
                    if each.salt_missing:
                        removed.add(each.call_id)

        async for rows in self._rows(since - _MARGIN_S, until + _MARGIN_S):
            known = [(row, calls.pop(row.call_id, None)) for row in rows]
            covered |= {row.call_id for row in rows}
            add(await asyncio.to_thread(self._cover_all, known))
        for call in calls.values():
            found = await self._without_row(call, calls_in_progress)
            add([found] if found is not None else [])
            result.in_progress += found is None
        await self._add_spools(result, since, until, covered)
        ids = ids_between(since, until)
        chain = await _index_findings(self._comparison, ids, removed, self.clock())
        result.add_index_findings(chain)
        for calls_found in (result.faulty_calls, result.silent_calls):
            calls_found.sort(key=lambda each: (each.started, each.call_id))
        result.orphans += await self._orphans()
        return result

    async def _add_spools(
        self, result: CoverageResult, since: float, until: float, covered: Collection[str]
    ) -> None:
        """Add the findings about unsealed calls. `covered` has the ids of calls with a row."""
        if self._prove_spools is None:
            return
        try:
            proofs = await self._prove_spools()
        except ApiError as error:
            # A call without a row that ended ten minutes ago or earlier is faulty in any case, so
            # this text is only for calls in progress.
            if result.in_progress:
                result.spools_unread = f"the spools were not checked: {error.error}"
            return
        for proof in proofs:
            if since <= proof.started < until and proof.call_id not in covered:
                result.add_unsealed(proof)

    async def new_findings(self, result: CoverageResult) -> list[tuple[str, str]]:
        """Return the alarms (kind, call id or "") for new findings. Mark the findings as known."""
        alarms = {
            f"{_alarm_of(call)} {call.call_id}": (_alarm_of(call), call.call_id)
            for call in result.faulty_calls[:MAX_FINDINGS]
        }
        for orphan in result.orphans[:MAX_FINDINGS]:
            key = f"archive.orphan {orphan.kind} {orphan.name}"
            alarms[key] = ("archive.orphan", orphan.call_id)
        fresh = await self.ledger.new_findings(alarms.keys(), self.clock())
        return [alarms[key] for key in sorted(fresh)]

    async def unexplained_reported(self, call_id: str) -> None:
        """Store that the alarm `recording.unexplained` was raised when the call was indexed."""
        await self.ledger.mark_known(f"recording.unexplained {call_id}", self.clock())

    def _cover_all(
        self, known: Iterable[tuple[RecordingSummary, AnsweredCall | None]]
    ) -> list[CallCoverage]:
        return [self._cover(row, call) for row, call in known]

    def _cover(self, row: RecordingSummary, call: AnsweredCall | None) -> CallCoverage:
        return compare(row, self._archive.content(row, "manifest"), call)

    async def _without_row(
        self, call: AnsweredCall, calls_in_progress: Collection[str] | None
    ) -> CallCoverage | None:
        """Return the coverage of a call without a row; None if the row may be written later."""
        now = self.clock()
        if call.ended is None and (calls_in_progress is None or call.call_id in calls_in_progress):
            return None
        if is_young(call.answered if call.ended is None else call.ended, now):
            return None
        row = await self._catalogue.get(call.call_id)
        # If there is a row, it was written during this check, or its time is outside the checked
        # period, because the clock was corrected during the call.
        if row is not None:
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
        """Yield pages with the index rows of the recordings that began in this period.

        The last page has the rows with a call id in this period, but with a start that is more than
        a day outside the period.
        """
        after: Cursor | None = None
        while True:
            page = await self._catalogue.search(Filters(since=since, until=until), _PAGE, after)
            yield page.rows
            if page.after is None:
                break
            after = page.after
        ids = ids_between(since, until)
        yield await self._catalogue.misdated(ids.first, ids.last, since - _DAY_S, until + _DAY_S)

    async def _orphans(self) -> list[Orphan]:
        now = self.clock()
        async with self._archive_lock:
            folders = await self._catalogue.folders()
            known = folders, await self._custodian.all_disposed(), self._spools
            found = await asyncio.to_thread(
                lambda: list(orphans.orphans(self._archive.folder, *known, now))
            )
        answered = await self.ledger.knows(s.call_id for s in self._spools.values())
        calls = answered | folders.keys()
        return [*found, *orphans.spool_orphans(self._spools, calls, now)]


def _start_of(call_id: str) -> float:
    """Return the time at which a call began to ring, from its id; 0 if the id is malformed."""
    try:
        return float(calendar.timegm(time.strptime(call_id[:15], "%Y%m%d-%H%M%S")))
    except ValueError:
        return 0.0


def _alarm_of(call: CallCoverage) -> str:
    if call.stored_in_gaps:
        return "recording.stored_in_gap"
    if call.ignored_triggers:
        return "recording.trigger_ignored"
    if call.index_changed and not call.unexplained:
        return "index.changed"
    if call.packets_differ and not call.unexplained:
        return "recording.miscounted"
    return "recording.missing" if not call.recorded_us else "recording.unexplained"


@dataclass(slots=True)
class IndexReport:
    """The result of a check of the index, with contradictions sorted by call id.

    `not_committed` counts the recordings of older software, whose manifests have no commitments to
    the number, line and advisor.
    """

    recordings: int = 0
    not_committed: int = 0
    findings: list[IndexFinding] = field(default_factory=list)


class IndexChecker:
    """Compares the rows of the index and the ledger with the manifests and the audit chain."""

    def __init__(
        self,
        catalogue: Catalogue,
        archive: ArchiveFolder,
        comparison: IndexComparison,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._archive = archive
        self._comparison = comparison
        self.clock = clock

    async def check(self, ids: CallIds = EVERY_CALL) -> IndexReport:
        """Check the rows of the calls in a range of call ids.

        Raises `AuditError` or `CatalogueError` if the database cannot be read.
        """
        report = IndexReport()
        removed: set[str] = set()
        found: dict[IndexFinding, None] = {}
        last, more = ids.first, True
        while more:
            page = await self._catalogue.in_order(last, _PAGE)
            rows = [row for row in page.rows if row.call_id < ids.last]
            for row, compared in await asyncio.to_thread(self._compare, rows):
                report.recordings += 1
                report.not_committed += not compared.is_committed
                found |= {IndexFinding(row.call_id, each): None for each in compared.problems}
                if compared.salt_missing:
                    removed.add(row.call_id)
            more = page.after is not None and len(rows) == len(page.rows)
            last = rows[-1].call_id if rows else last
        chain = await _index_findings(self._comparison, ids, removed, self.clock())
        found |= dict.fromkeys(chain)
        report.findings = sorted(found, key=lambda each: each.call_id)
        return report

    def _compare(
        self, rows: Iterable[RecordingSummary]
    ) -> list[tuple[RecordingSummary, RowComparison]]:
        return [(row, compare_file(row, self._archive.content(row, "manifest"))[0]) for row in rows]


async def _index_findings(
    comparison: IndexComparison, ids: CallIds, removed: AbstractSet[str], now: float
) -> list[IndexFinding]:
    """Return the contradictions with the audit chain.

    `removed` has the ids of rows that lack both the facts about people and the salt. Each of these
    rows is a contradiction too, unless the audit chain explains it.
    """
    unexplained = removed - await comparison.without_facts(removed)
    return [
        *(IndexFinding(call_id, SALT_MISSING) for call_id in sorted(unexplained)),
        *await comparison.recordings(ids, now, YOUNG_S),
        *await comparison.ledger(ids),
    ]


def ids_of(call_id: str) -> CallIds:
    """Return a small range of call ids that contains this one."""
    return CallIds(call_id[:-1], call_id + "~")


def ids_between(since: float, until: float) -> CallIds:
    """Return the range of the ids of calls that began to ring in a period (Unix seconds)."""
    first, last = (time.strftime("%Y%m%d-%H%M%S", time.gmtime(each)) for each in (since, until))
    return CallIds(first, last)
