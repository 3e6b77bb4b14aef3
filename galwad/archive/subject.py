"""`ArchiveSubject`: the recordings, their index, and the checks that prove what was recorded."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Protocol

from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge

from galwad.archive.coverage import CoverageChecker, CoverageResult, IndexChecker
from galwad.archive.desk_socket import DeskSocket, FinaliserClient
from galwad.archive.disclosures import Disclosures
from galwad.archive.disposals import Disposals
from galwad.archive.files import ArchiveFolder
from galwad.archive.indexer import Indexer
from galwad.archive.periodic import COVERAGE_CHECKED, AnchorFile, NightlyCheck, RecipientsWatch
from galwad.archive.promises import PromiseChecker
from galwad.archive.retention import Retention
from galwad.calls.alarms.kinds import Ending
from galwad.calls.subject import CallsSubject
from galwad.host.host import Host, desk_of
from galwad.messages import Alarm, Sealed
from galwad.notes.store import notes
from galwad.people.subject import PeopleDesk, PeopleSubject
from galwad.texts.subject import TextsSubject
from recording.audit.index_comparison import IndexComparison
from recording.index.catalogue import Catalogue
from recording.index.custody import CapturedCards, Custodian
from recording.index.holds import LegalHolds
from recording.index.ledger import Ledger
from recording.index.terms import Terms
from recording.keys.keyring import RecipientsFile

_CHECKED_S: Final = 2 * 86_400.0
"""The seconds before a nightly check for which the register of disclosures is checked."""


@dataclass(frozen=True, slots=True)
class RecordingsIndexed:
    """Recordings are in the index.

    If a handler fails for recordings that were just sealed, the finaliser repeats its reports.
    """

    reports: Sequence[Sealed]


@dataclass(frozen=True, slots=True)
class RecordingIndexed:
    """One recording is in the index, and `RecordingsIndexed` was handled for it."""

    sealed: Sealed


REVIEW: Final = "disclosure.review"
"""The kind of the alarm about an urgent disclosure that a second administrator must review."""
MISMATCH: Final = "disclosure.mismatch"
"""The kind of the alarm if the register of disclosures does not agree with the audit."""


class ArchiveMetrics:
    """The metrics of recordings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.indexed = Counter(
            "galwad_desk_recordings_indexed", "Recordings indexed", registry=registry
        )
        self.unexplained = Counter(
            "galwad_desk_unexplained_seconds",
            "Talk time that neither segments nor gaps cover",
            registry=registry,
        )
        self.undecoded = Counter(
            "galwad_desk_undecoded_packets",
            "Packets of recordings that could not be decoded; they are kept undecoded",
            registry=registry,
        )
        self.faulty_calls = Gauge(
            "galwad_desk_calls_amiss",
            "Calls that the last nightly check could not explain",
            registry=registry,
        )
        self.orphans = Gauge(
            "galwad_desk_orphans",
            "Files, rows and spools that lack their counterpart, by the last nightly check",
            registry=registry,
        )
        self.fetched = Counter(
            "galwad_desk_recordings_fetched", "Recordings handed out", registry=registry
        )


async def _no_case(case_id: int, call_id: str) -> bool:
    del case_id, call_id
    return False


class ArchiveSubject:
    """The desk's part for the recordings of its node: files, index, checks and alarms."""

    def __init__(
        self, host: Host, people: PeopleSubject, texts: TextsSubject, calls: CallsSubject
    ) -> None:
        settings, engine, audit = host.settings, host.engine, host.audit
        self._host = host
        self._calls = calls
        self.metrics = ArchiveMetrics(host.metrics.registry)
        self.catalogue = Catalogue(engine)
        self.custodian = Custodian(engine)
        self.captured_cards = CapturedCards(engine)
        self.holds = LegalHolds(engine)
        self.disclosures = Disclosures(engine)
        self.case_has: Callable[[int, str], Awaitable[bool]] = _no_case
        """Returns whether the open case of a number has a call. The register of cases sets it."""
        self.files = ArchiveFolder(settings.archive)
        self.anchors = AnchorFile(settings.anchor_file, settings.node.name, audit, host.alarm)
        self.finaliser = FinaliserClient()
        self.disposals = Disposals(host, calls, self.files, self.finaliser, self.custodian)
        self.retention = Retention(
            host,
            Terms(engine, notes),
            texts.lists,
            self.catalogue,
            self.disposals,
            holds=self.holds,
        )
        comparison = IndexComparison(engine, settings.node.name)
        self.coverage = CoverageChecker(
            *(Ledger(engine), self.catalogue, self.custodian, self.files, comparison),
            prove_spools=self.finaliser.prove_spools,
        )
        self.index_checker = IndexChecker(self.catalogue, self.files, comparison)
        self.promises = PromiseChecker(
            self.coverage,
            self.catalogue,
            self.captured_cards,
            self.files,
            audit,
            disclosures=self.disclosures,
            node=settings.node.name,
            reminder_s=settings.desk.pause_reminder,
            alarm_s=settings.desk.pause_alarm,
            officer_key=settings.recording.officer_key,
        )
        self.nightly = NightlyCheck(
            settings.desk.nightly,
            self.coverage,
            audit,
            calls_in_progress=calls.in_progress,
            on_alarm=host.alarm,
            on_done=self._show_result,
            on_finished=self._finish_check,
            zone=settings.desk.time_zone,
        )
        self.indexer = Indexer(audit, on_indexed=self.indexed, on_alarm=host.alarm)
        self.socket = DeskSocket(
            settings.desk_socket,
            self.finaliser,
            self.indexer,
            on_alarm=host.alarm,
            on_users=people.changed,
            on_spools=self.coverage.spools_left,
        )
        host.on_start(self._show_newest_result)
        host.on_start(self.retention.start)
        host.after_start(self.socket.start)
        host.loop(RecipientsWatch(self.recipients, audit, on_alarm=host.alarm).run)
        host.loop(self.nightly.run)
        host.loop(self.retention.run)
        host.before_stop(self.socket.stop)

    @cached_property
    def recipients(self) -> RecipientsFile:
        """The file with the signed set of recipients, which has no secrets."""
        settings = self._host.settings
        return RecipientsFile(
            settings.recipients, settings.newest_recipients("desk"), settings.recording.officer_key
        )

    async def _show_newest_result(self) -> None:
        checked = await self._host.audit.last(COVERAGE_CHECKED)
        if checked is not None:
            self.metrics.faulty_calls.set(int(checked.facts.get("amiss", 0)))
            self.metrics.orphans.set(int(checked.facts.get("orphans", 0)))

    def _show_result(self, result: CoverageResult) -> None:
        self.metrics.faulty_calls.set(len(result.faulty_calls))
        self.metrics.orphans.set(len(result.orphans))

    async def _finish_check(self) -> None:
        """Check the register of disclosures, then append an anchor: the end of a nightly check."""
        now = time.time()
        since = now - _CHECKED_S
        _, mismatches = await self.disclosures.compared(self._host.audit, since, now, now)
        for each in mismatches:
            self._host.alarm(Alarm(MISMATCH, each.call_id or None, f"{each.kind}: {each.text}"))
        for disclosure in await self.disclosures.unreviewed():
            who = f"{disclosure.disclosure_id}: {disclosure.asked_by}"
            self._host.alarm(Alarm(REVIEW, None, who))
        await self.anchors.append()

    async def indexed(self, reports: Sequence[Sealed]) -> None:
        """Pass indexed recordings to the log of calls and to other subjects, then handle each one.

        Raises `AuditError` or `CatalogueError`.
        """
        await self.retention.assign([each.call_id for each in reports])
        await self._calls.log.sealed(reports)
        await self._host.publish_and_wait(RecordingsIndexed(reports))
        for sealed in reports:
            await self._indexed_one(sealed)

    async def _indexed_one(self, sealed: Sealed) -> None:
        self._calls.alarms.ended(Ending.INDEXED, sealed.call_id)
        self.metrics.indexed.inc()
        self.metrics.undecoded.inc(sealed.undecoded)
        if sealed.unexplained_us:
            self.metrics.unexplained.inc(sealed.unexplained_us / 1_000_000)
            await self.coverage.unexplained_reported(sealed.call_id)
            self._host.alarm(Alarm("recording.unexplained", sealed.call_id))
        await self._host.publish_and_wait(RecordingIndexed(sealed))
        self._calls.live.set_recording_link(sealed.call_id, f"/api/v1/recordings/{sealed.call_id}")


class ArchiveDesk(PeopleDesk, Protocol):
    """The parts of the desk that endpoints about recordings use."""

    calls: CallsSubject
    archive: ArchiveSubject


TheDesk = Annotated[ArchiveDesk, Depends(desk_of)]
