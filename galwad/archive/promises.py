"""Checks the promises of the privacy notice that concern recording, for the calls of a period.

There are five: calls are recorded in their entirety; nothing is recorded while payment details are
taken; nothing is recorded after a transfer out of the centre; recordings are disclosed only in the
situations that the notice names; and the recordings exist unchanged. The evidence comes from the
coverage check, manifests, files, incidents of captured cards, the register of disclosures and the
audit chain. The desk cannot decrypt a recording, so no sound is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from operator import attrgetter
from typing import Final, Literal, Self

from pydantic import ConfigDict

from galwad.archive.coverage import CoverageChecker, CoverageResult, ids_between
from galwad.archive.disclosures import Disclosures
from galwad.archive.files import ArchiveFolder
from recording.archive.commitments import disagreement
from recording.archive.manifest import Gap, Interval, Manifest, day_folder, read_manifest
from recording.archive.summary import RecordingSummary
from recording.archive.verify import RecordingVerdict, check_when_stable, verify_recording
from recording.audit.chain import ChainChecker
from recording.audit.gap_entries import PAUSED, SPACING_US, WallClock
from recording.audit.index_comparison import CallIds
from recording.audit.log import AuditFilter, AuditLog
from recording.call_id import is_call_id
from recording.errors import ManifestError
from recording.index.catalogue import Catalogue, Cursor, Filters
from recording.index.coverage import CallCoverage
from recording.index.custody import CapturedCard, CapturedCards
from recording.policy import PAUSE_TRIGGERS, DestinationClass, GapReason, Trigger

_PAGE: Final = 500
_US: Final = 1_000_000
_LONGEST_CALL_S: Final = 86_400.0
"""Pauses are read until this long after the period, because a call may end after the period."""
COUNTED_TRANSFERS: Final = (
    Trigger.REFER,
    Trigger.PAGE_TRANSFER,
    Trigger.IDENTITY,
    Trigger.ROUTE,
    Trigger.UNNAMED,
)
"""The triggers of transfers that the evidence counts separately. All others are "other"."""
COUNTED_PAUSES: Final = (
    Trigger.PAGE,
    Trigger.API,
    Trigger.PHONE,
    Trigger.DTMF,
    *COUNTED_TRANSFERS,
)
"""The triggers of pauses that the evidence counts separately. All others are "other"."""
_FAULTS: Final = ("recordings", "missing", "faults", "fault_us", "miscounted")
_PAYMENTS: Final = (
    *("pauses", "paused_us", "longest_pause_us", "pauses_over_reminder", "pauses_over_alarm"),
    *("pauses_to_the_end", "pause_requests", "pauses_ignored", "triggers", "triggers_ignored"),
    *("recorded_in_pause_us", "packets_in_pauses"),
    *("captured_cards", "captured_cards_open"),
)
_TRANSFERRED: Final = ("transfers", "transferred_us", "recorded_after_us", "packets_after")
_CHANGES: Final = ("verified", "disposed", "changed_recordings", "changed_rows", "orphans")


class PromiseVerdict(StrEnum):
    """The result of checking one promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NO_EVIDENCE = "no-evidence"
    """There was no call, recording, pause or transfer from which the promise can be judged."""


@dataclass(frozen=True, slots=True)
class PromiseFinding:
    """A fact that breaks a promise.

    `us` is a length in microseconds, or 0. If `kind` is "pause_ignored", `us` is the time of the
    audit entry, in microseconds since 1970. `call_id` is "" if the fact does not concern a single
    call. `text` is a description in English, or "".
    """

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    kind: Literal[
        "unexplained",
        "missing",
        "miscounted",
        "fault",
        "recorded_in_pause",
        "stored_in_pause",
        "trigger_ignored",
        "spools_unread",
        "pause_ignored",
        "captured_card",
        "recorded_after",
        "stored_after",
        "changed",
        "changed_row",
        "orphan",
        "audit",
        "use_not_disclosed",
        "file_not_registered",
        "file_not_audited",
        "not_reviewed",
    ]
    call_id: str = ""
    us: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class PromiseResult:
    """The result of one check: recorded, payments, transfers, disclosures or intact.

    `evidence` has lengths in µs under names that end with `_us`, otherwise counts.
    """

    name: str
    verdict: PromiseVerdict
    evidence: dict[str, int]
    findings: list[PromiseFinding]


@dataclass(frozen=True, slots=True)
class _Recording:
    row: RecordingSummary
    manifest: Manifest | None
    verdict: RecordingVerdict
    incidents: Sequence[CapturedCard]
    pauses_us: Sequence[int]
    """The times of the call's pauses according to the audit, in µs since 1970."""

    @property
    def gaps(self) -> Sequence[Gap]:
        return self.row.gaps if self.manifest is None else self.manifest.gaps

    @property
    def talk_us(self) -> int:
        return self.row.talk_us if self.manifest is None else self.manifest.talk_us

    def gaps_of(self, reason: GapReason) -> list[Gap]:
        return [gap for gap in self.gaps if gap.reason == reason]

    def recorded_in(self, gaps: Iterable[Interval]) -> int:
        """Return the total time in µs in which segments overlap these gaps."""
        segments = () if self.manifest is None else self.manifest.segments
        return sum(_overlap(segment, gap) for gap in gaps for segment in segments)


@dataclass(slots=True)
class _Line:
    """A promise that is being checked: its evidence and the facts that break it so far."""

    evidence: dict[str, int]
    findings: list[PromiseFinding] = field(default_factory=list)

    def add(self, name: str, number: int) -> None:
        self.evidence[name] = self.evidence.get(name, 0) + number

    def breaks(self, name: str, number: int, finding: PromiseFinding) -> None:
        self.add(name, number)
        self.findings.append(finding)

    def result(self, name: str, *, has_evidence: object) -> PromiseResult:
        kept = PromiseVerdict.KEPT if has_evidence else PromiseVerdict.NO_EVIDENCE
        verdict = PromiseVerdict.BROKEN if self.findings else kept
        return PromiseResult(name, verdict, self.evidence, self.findings)


@dataclass(frozen=True, slots=True)
class _Lines:
    recorded: _Line
    payments: _Line
    transfers: _Line
    intact: _Line

    @classmethod
    def of(cls, coverage: CoverageResult) -> Self:
        sums = ("calls", "in_progress", "talk_us", "recorded_us", "gap_us", "unexplained_us")
        return cls(
            _Line({name: getattr(coverage, name) for name in sums} | dict.fromkeys(_FAULTS, 0)),
            _Line(dict.fromkeys(_PAYMENTS, 0)),
            _Line(dict.fromkeys(_TRANSFERRED, 0)),
            _Line(dict.fromkeys(_CHANGES, 0) | {"not_committed": coverage.not_committed}),
        )


class PromiseChecker:
    """Checks the promises of the privacy notice for the calls of a period.

    `node` is the node whose audit chain is verified. The advisor is warned when a pause has lasted
    `reminder_s` seconds, and the supervisors when it has lasted `alarm_s` seconds. Only rewraps by
    the officer with the public key `officer_key` are accepted. If it is "", no rewrap is accepted.
    """

    def __init__(
        self,
        coverage: CoverageChecker,
        catalogue: Catalogue,
        captured_cards: CapturedCards,
        archive: ArchiveFolder,
        audit: AuditLog,
        *,
        disclosures: Disclosures,
        node: str,
        reminder_s: float,
        alarm_s: float,
        officer_key: str = "",
    ) -> None:
        self._coverage = coverage
        self._catalogue = catalogue
        self._captured_cards = captured_cards
        self._archive = archive
        self._disclosures = disclosures
        self._audit = audit
        self._node = node
        self._reminder_us = round(reminder_s * _US)
        self._alarm_us = round(alarm_s * _US)
        self._officer_keys = (officer_key,) if officer_key else ()
        self._reading = asyncio.Lock()
        """Held while files of recordings are read, because only one task at a time may do so."""

    async def check(
        self, since: float, until: float, calls_in_progress: Collection[str] | None
    ) -> list[PromiseResult]:
        """Check the promises for the calls answered from `since` to `until` (Unix seconds).

        `calls_in_progress` is None if the switch is not connected.

        Raises:
            AuditError, CatalogueError: The database cannot be read.
            OSError: The archive cannot be read.
        """
        async with self._reading:
            coverage = await self._coverage.check(since, until, calls_in_progress)
            pauses = await self._pauses(since, until + _LONGEST_CALL_S)
            lines = _Lines.of(coverage)
            known = set()
            # The recordings of a year do not fit into the memory, so each is counted and forgotten.
            async for each in self._recordings(since, until, pauses):
                known.add(each.row.call_id)
                self._count(lines, each)
            entries, problems = await self._chain(since, until)
        numbers, mismatches = await self._disclosures.compared(
            self._audit, since, until, self._audit.clock()
        )
        wrong = [PromiseFinding(each.kind, each.call_id, text=each.text) for each in mismatches]
        disclosed = _Line(numbers, wrong)
        _add_coverage(lines, coverage, known, ids_between(since, until))
        lines.intact.evidence |= {"audit_entries": entries, "audit_problems": len(problems)}
        lines.intact.findings += problems
        has_pauses = lines.payments.evidence["pauses"] or lines.payments.evidence["pause_requests"]
        return [
            lines.recorded.result("recorded", has_evidence=coverage.calls),
            lines.payments.result("payments", has_evidence=has_pauses),
            lines.transfers.result("transfers", has_evidence=lines.transfers.evidence["transfers"]),
            disclosed.result("disclosures", has_evidence=any(numbers.values())),
            lines.intact.result("intact", has_evidence=known),
        ]

    def _count(self, lines: _Lines, each: _Recording) -> None:
        lines.recorded.add("recordings", 1)
        for gap in each.gaps_of(GapReason.FAULT):
            lines.recorded.add("fault_us", gap.length_us)
            finding = PromiseFinding("fault", each.row.call_id, gap.length_us, gap.trigger)
            lines.recorded.breaks("faults", 1, finding)
        self._add_pauses(lines.payments, each)
        _add_captured_cards(lines.payments, each)
        _add_transfers(lines.transfers, each)
        lines.intact.add("verified", 1)
        lines.intact.add("disposed", each.verdict.disposal is not None)
        if each.verdict.problems:
            text = "; ".join(each.verdict.problems)
            finding = PromiseFinding("changed", each.row.call_id, text=text)
            lines.intact.breaks("changed_recordings", 1, finding)

    async def _pauses(self, since: float, until: float) -> dict[str, list[int]]:
        """Return the times of pauses in the audit, in µs since 1970, by the id of each call.

        A pause by extension or user is a pause of the calls that the switch named in its reply.
        """
        found: dict[str, list[int]] = {}
        async for entry in self._audit.search_all(AuditFilter(PAUSED, since=since, until=until)):
            ids = str(entry.facts.get("calls", "")).split()
            for call_id in {str(entry.facts.get("call_id", "")), *ids}:
                found.setdefault(call_id, []).append(entry.at_us)
        return found

    async def _recordings(
        self, since: float, until: float, pauses: dict[str, list[int]]
    ) -> AsyncIterator[_Recording]:
        after: Cursor | None = None
        while True:
            page = await self._catalogue.search(Filters(since=since, until=until), _PAGE, after)
            incidents = await self._captured_cards.of([row.call_id for row in page.rows])
            for row in page.rows:
                manifest, verdict = await asyncio.to_thread(self._verified, row)
                known = incidents.get(row.call_id, []), pauses.get(row.call_id, [])
                yield _Recording(row, manifest, verdict, *known)
            if page.after is None:
                return
            after = page.after

    def _verified(self, row: RecordingSummary) -> tuple[Manifest | None, RecordingVerdict]:
        # Another program may have written anything into the row.
        if not is_call_id(row.call_id):
            return None, RecordingVerdict(row.call_id, (disagreement("call id"),))
        folder = self._archive.folder / day_folder(row.call_id)
        verdict = check_when_stable(
            partial(verify_recording, folder, row.call_id, officer_keys=self._officer_keys),
            attrgetter("problems"),
            folder,
            row.call_id,
        )
        try:
            manifest = read_manifest(self._archive.content(row, "manifest") or b"")
        except ManifestError:
            manifest = None
        return manifest, verdict

    async def _chain(self, since: float, until: float) -> tuple[int, list[PromiseFinding]]:
        """Verify the whole chain; return the number of entries, and the problems, in the period.

        Problems of the first entry after the period are included, because they show that entries
        at the end of the period are missing.
        """
        checker = ChainChecker(self._node)
        inside: list[int] = []
        after = 0
        while entries := await self._audit.chain_entries(checker.last, _PAGE):
            for entry in entries:
                checker.check(entry)
                if since * _US <= entry.at_us < until * _US:
                    inside.append(entry.seq)
                    after = 0
                elif not after and entry.at_us >= until * _US:
                    after = entry.seq
        first, last = min(inside, default=after), max([*inside, after])
        problems = [
            PromiseFinding("audit", text=f"entry {each.seq}: {each.problem}")
            for each in checker.result().findings
            if first <= each.seq <= last
        ]
        return len(inside), problems

    def _add_pauses(self, line: _Line, each: _Recording) -> None:
        pauses = each.gaps_of(GapReason.PAYMENT)
        for gap in pauses:
            self._add_pause(line, gap, each.talk_us)
        over = each.recorded_in(pauses)
        if over:
            finding = PromiseFinding("recorded_in_pause", each.row.call_id, over)
            line.breaks("recorded_in_pause_us", over, finding)
        triggers = () if each.manifest is None else each.manifest.triggers
        line.add("triggers", sum(trigger.trigger in PAUSE_TRIGGERS for trigger in triggers))
        line.add("pause_requests", len(each.pauses_us))
        for at_us in _ignored(each):
            finding = PromiseFinding("pause_ignored", each.row.call_id, at_us)
            line.breaks("pauses_ignored", 1, finding)

    def _add_pause(self, line: _Line, gap: Gap, talk_us: int) -> None:
        evidence, length = line.evidence, gap.length_us
        line.add("pauses", 1)
        line.add(f"pauses_{_counted(gap, COUNTED_PAUSES)}", 1)
        line.add("paused_us", length)
        evidence["longest_pause_us"] = max(evidence["longest_pause_us"], length)
        # A call at a payment line is paused until it returns: no person can forget to resume it.
        if gap.trigger in COUNTED_TRANSFERS:
            return
        line.add("pauses_over_reminder", length >= self._reminder_us)
        line.add("pauses_over_alarm", length >= self._alarm_us)
        line.add("pauses_to_the_end", gap.to_us >= talk_us)


def _counted(gap: Gap, triggers: Collection[str]) -> str:
    return gap.trigger.replace("-", "_") if gap.trigger in triggers else "other"


def _add_coverage(
    lines: _Lines, coverage: CoverageResult, known: AbstractSet[str], ids: CallIds
) -> None:
    if coverage.spools_unread:
        finding = PromiseFinding("spools_unread", text=coverage.spools_unread)
        lines.payments.findings.append(finding)
    for call in coverage.faulty_calls:
        _add_gap_findings(lines, call)
        proven = {*map(str, call.stored_in_gaps), *map(str, call.ignored_triggers)}
        problems = [problem for problem in call.problems if problem not in proven]
        if call.is_clean_but(proven):
            continue
        text = "; ".join(problems)
        if call.unexplained_us and call.call_id in known:
            finding = PromiseFinding("unexplained", call.call_id, call.unexplained_us)
            lines.recorded.findings.append(finding)
        elif call.call_id not in known and (call.talk_us or not call.index_changed):
            finding = PromiseFinding("missing", call.call_id, call.talk_us, text)
            lines.recorded.breaks("missing", 1, finding)
        if call.packets_differ:
            finding = PromiseFinding("miscounted", call.call_id, text=text)
            lines.recorded.breaks("miscounted", 1, finding)
        # The problems of a call without a recording break "recorded", and not also "intact".
        has_problems = problems and call.call_id in known and not call.packets_differ
        if call.index_changed or has_problems:
            finding = PromiseFinding("changed_row", call.call_id, text=text)
            lines.intact.breaks("changed_rows", 1, finding)
    for orphan in coverage.orphans:
        # A call whose spool is not sealed is missing, which breaks "recorded".
        if orphan.kind != "spool not sealed" and ids.first <= orphan.call_id < ids.last:
            finding = PromiseFinding("orphan", orphan.call_id, text=orphan.text)
            lines.intact.breaks("orphans", 1, finding)


def _add_gap_findings(lines: _Lines, call: CallCoverage) -> None:
    for stored in call.stored_in_gaps:
        if stored.reason == GapReason.TRANSFER:
            finding = PromiseFinding("stored_after", call.call_id, text=str(stored))
            lines.transfers.breaks("packets_after", stored.packets, finding)
        else:
            finding = PromiseFinding("stored_in_pause", call.call_id, text=str(stored))
            lines.payments.breaks("packets_in_pauses", stored.packets, finding)
    for ignored in call.ignored_triggers:
        finding = PromiseFinding("trigger_ignored", call.call_id, text=str(ignored))
        if ignored.trigger.trigger in PAUSE_TRIGGERS:
            lines.payments.breaks("triggers_ignored", 1, finding)
        else:
            lines.transfers.findings.append(finding)


def _add_transfers(line: _Line, each: _Recording) -> None:
    gaps = each.gaps_of(GapReason.TRANSFER)
    for gap in gaps:
        line.add("transfers", 1)
        line.add(f"transfers_{_counted(gap, COUNTED_TRANSFERS)}", 1)
        line.add("transferred_us", gap.length_us)
    segments = () if each.manifest is None else each.manifest.segments
    outside = [s for s in segments if s.destination != DestinationClass.CENTRE]
    after = each.recorded_in(gaps) + sum(segment.length_us for segment in outside)
    if after:
        finding = PromiseFinding("recorded_after", each.row.call_id, after)
        line.breaks("recorded_after_us", after, finding)


def _add_captured_cards(line: _Line, each: _Recording) -> None:
    starts = {gap.from_us: gap.length_us for gap in each.gaps_of(GapReason.CAPTURED_CARD)}
    starts |= {incident.from_us: incident.to_us - incident.from_us for incident in each.incidents}
    for length in starts.values():
        finding = PromiseFinding("captured_card", each.row.call_id, length)
        line.breaks("captured_cards", 1, finding)
    line.add("captured_cards_open", sum(incident.state == "open" for incident in each.incidents))


def _ignored(each: _Recording) -> list[int]:
    """Return the times, in µs since 1970, of pauses in the audit that are in no gap.

    Pauses within `SPACING_US` of the call's start or end, or of a gap, count as carried out,
    because the time of an audit entry may be wrong by as much. A gap that the finaliser made around
    keyed digits does not count. Without a valid manifest, the list is empty.
    """
    if each.manifest is None:
        return []
    wall = WallClock(each.manifest.started_us, each.manifest.clock)
    first, last = wall.at(0) + SPACING_US, wall.at(each.talk_us) - SPACING_US
    gaps = [gap for gap in each.gaps if gap.trigger != Trigger.TONES]
    shut = [(wall.at(g.from_us) - SPACING_US, wall.at(g.to_us) + SPACING_US) for g in gaps]
    return [
        at_us
        for at_us in each.pauses_us
        if first <= at_us <= last and not any(start <= at_us <= end for start, end in shut)
    ]


def _overlap(one: Interval, other: Interval) -> int:
    return max(0, min(one.to_us, other.to_us) - max(one.from_us, other.from_us))
