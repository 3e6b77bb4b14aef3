"""Writes index rows for recordings that the finaliser has sealed, or has verified for a reindex.

The same transaction adds the manifest's digest to the audit chain, so that a lost or changed
manifest is detected. It also enters an incident for each card number that was silenced, and
retains the recording for the legal holds that name its caller's number. If a report of a sealed
recording is repeated, no second row or incident is added.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import msgspec
import structlog
from msgspec.structs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.calls.live_calls import indexed_number
from galwad.messages import Alarm, Sealed
from recording.archive.summary import PersonalFacts, RecordingSummary
from recording.audit.index_comparison import CARD_CAPTURED
from recording.audit.log import AuditLog, NewEntry
from recording.index.catalogue import MOST_IDS, KnownRow, known_rows, write_rows
from recording.index.custody import enter_new
from recording.index.holds import retain_new_calls
from recording.policy import GapReason

_REST_S: Final = 0.1
"""The shortest time in seconds between the beginnings of two batches. A transaction costs about as
much as ten rows. When many calls end, a report arrives every few milliseconds.
"""
log = structlog.get_logger()


class Indexer:
    """Writes the index rows of recordings, in the database of the audit chain.

    A report is written at once, unless a batch is being written or began less than `_REST_S`
    seconds before. Reports that wait share a transaction. `on_indexed` is called when the rows are
    in the database.
    """

    def __init__(
        self,
        audit: AuditLog,
        *,
        on_indexed: Callable[[Sequence[Sealed]], Awaitable[None]],
        on_alarm: Callable[[Alarm], None],
    ) -> None:
        self._audit = audit
        self._on_indexed = on_indexed
        self._on_alarm = on_alarm
        self._reports: list[_Report] = []
        self._writing = asyncio.Lock()
        self._next = 0.0
        """The monotonic time before which no batch begins."""
        self._without_caller: set[str] = set()
        """The ids of the calls for which the alarm `recording.locked` was raised."""

    async def index(self, sealed: Sealed) -> bool:
        """Index a recording; return whether the finaliser may remove the call's spools.

        The result is false if the row could not be written, if `on_indexed` failed, or if only the
        spools have the number, line and advisor.
        """
        report = _Report(sealed, asyncio.get_running_loop().create_future())
        self._reports.append(report)
        async with self._writing:
            # The task that had the lock before may have written this report too.
            while not report.complete.done():
                await asyncio.sleep(max(self._next - time.monotonic(), 0))
                self._next = time.monotonic() + _REST_S
                await self._index(_first_of_each_call(self._reports))
                self._reports = [each for each in self._reports if not each.complete.done()]
        return report.complete.result()

    async def _index(self, batch: Sequence[_Report]) -> None:
        """Index a batch. If the transaction fails, index each report in its own transaction."""
        writing = _Writing([report.sealed for report in batch])
        try:
            await self._audit.append_after(writing.write)
        except Exception as error:  # One report with unusual values must not hold up the others.
            if len(batch) > 1:
                log.warning("recordings.not_indexed", why=str(error), count=len(batch))
                for report in batch:
                    await self._index([report])
                return
            log.exception("recording.not_indexed", call_id=batch[0].sealed.call_id)
            batch[0].finish(complete=False)
            return
        try:
            await self._on_indexed(writing.indexed)
        except Exception:
            log.exception("recordings.not_reported", count=len(batch))
            for report in batch:
                report.finish(complete=False)
            return
        for report in batch:
            call_id = report.sealed.call_id
            complete = writing.is_complete(report.sealed)
            if complete:
                log.info("recording.indexed", call_id=call_id, again=call_id in writing.known)
            else:
                self._alarm_without_caller(call_id)
            report.finish(complete=complete)

    async def reindex(self, sealed: Sealed, corrected: PersonalFacts | None = None) -> bool:
        """Index a recording that the finaliser has verified; return whether a row was written.

        An existing row is kept unless `corrected` is given. Then a row with these corrected facts
        about people replaces the existing row.

        Raises `AuditError` if the recording was not indexed, or if it is indexed, but the log of
        calls cannot be written.
        """
        writing = _Rewriting(sealed, corrected)
        await self._audit.append_after(writing.write)
        if corrected is not None:
            log.info("recording.row_corrected", call_id=sealed.call_id)
        elif writing.new:
            await self._on_indexed([sealed])
            log.info("recording.reindexed", call_id=sealed.call_id)
        return writing.new

    def _alarm_without_caller(self, call_id: str) -> None:
        if call_id not in self._without_caller:
            self._without_caller.add(call_id)
            text = (
                "the recording is archived, but its caller is named only in its spool, "
                "whose key was lost when the machine restarted"
            )
            self._on_alarm(Alarm("recording.locked", call_id, text))


@dataclass(frozen=True, slots=True)
class _Report:
    """A report of the finaliser. `complete` receives the result of `Indexer.index`."""

    sealed: Sealed
    complete: asyncio.Future[bool]

    def finish(self, *, complete: bool) -> None:
        """Set the result, unless the waiting task was cancelled."""
        if not self.complete.done():
            self.complete.set_result(complete)


def _first_of_each_call(reports: Iterable[_Report]) -> list[_Report]:
    found: dict[str, _Report] = {}
    for report in reports:
        found.setdefault(report.sealed.call_id, report)
    return list(islice(found.values(), MOST_IDS))


class _Writing:
    """One transaction that writes the index rows of several recordings, and its result."""

    def __init__(self, reports: Sequence[Sealed]) -> None:
        self._reports = reports
        self.known: dict[str, KnownRow] = {}
        """The rows from before the transaction, by call id."""

    async def write(self, connection: AsyncConnection) -> list[NewEntry]:
        reports = self._reports
        self.known = await known_rows(connection, [each.call_id for each in reports])
        new = [each for each in reports if each.personal or each.call_id not in self.known]
        await write_rows(connection, list(map(index_row, new)), self.known)
        return [
            *(_recovery_entry(e) for e in reports if e.recovered and not self._has_row_of(e)),
            *(_digest_entry(e) for e in reports if self._digest(e) != e.manifest_sha256),
            *await _enter_captured_cards(connection, reports),
            *await _retain_for_holds(connection, reports),
        ]

    @property
    def indexed(self) -> list[Sealed]:
        """The reports for `on_indexed`: their row was written now, or had all facts before."""
        return [
            each
            for each in self._reports
            if each.personal or each.call_id not in self.known or self._has_row_of(each)
        ]

    def is_complete(self, sealed: Sealed) -> bool:
        """Return whether the row has all facts, so that the spools may be removed."""
        return sealed.personal or self._has_row_of(sealed)

    def _digest(self, sealed: Sealed) -> str:
        row = self.known.get(sealed.call_id)
        return "" if row is None else row.manifest_sha256

    def _has_row_of(self, sealed: Sealed) -> bool:
        """Return whether a row of the same manifest already had number, line and advisor."""
        row = self.known.get(sealed.call_id)
        return (
            row is not None
            and row.has_personal_facts
            and row.manifest_sha256 == sealed.manifest_sha256
        )


class _Rewriting:
    """One transaction that writes the row of a recording that was verified in the archive."""

    def __init__(self, sealed: Sealed, corrected: PersonalFacts | None) -> None:
        self._sealed = sealed
        self._corrected = corrected
        self.new = False

    async def write(self, connection: AsyncConnection) -> list[NewEntry]:
        sealed, corrected, row = self._sealed, self._corrected, index_row(self._sealed)
        known = await known_rows(connection, [sealed.call_id])
        self.new = corrected is not None or not known
        if corrected is not None:
            row = msgspec.structs.replace(row, **asdict(corrected))
        if self.new:
            await write_rows(connection, [row], known)
        incidents = [] if corrected else await _enter_captured_cards(connection, [sealed])
        held = await _retain_for_holds(connection, [sealed])
        return [_digest_entry(sealed), *incidents, *held]


def _recovery_entry(sealed: Sealed) -> NewEntry:
    """Return an audit entry which says that an officer's key opened spools of this call."""
    lives = ",".join(str(life) for life in sealed.recovered)
    return NewEntry("spool.recovered", {"call_id": sealed.call_id, "lives": lives})


def _digest_entry(sealed: Sealed) -> NewEntry:
    facts = {"call_id": sealed.call_id, "manifest_sha256": sealed.manifest_sha256}
    return NewEntry("recording.indexed", facts)


async def _enter_captured_cards(
    connection: AsyncConnection, reports: Iterable[Sealed]
) -> list[NewEntry]:
    """Enter an incident for each new card number keyed outside a pause; return audit entries."""
    reason = GapReason.CAPTURED_CARD.value
    found = {
        each.call_id: gaps
        for each in reports
        if (gaps := [gap for gap in each.gaps if gap.reason == reason])
    }
    if not found:
        return []
    return [
        NewEntry(
            CARD_CAPTURED, {"call_id": card.call_id, "from_us": card.from_us, "to_us": card.to_us}
        )
        for card in await enter_new(connection, found, time.time())
    ]


async def _retain_for_holds(
    connection: AsyncConnection, reports: Sequence[Sealed]
) -> list[NewEntry]:
    """Retain recordings for the legal holds that name their callers; return audit entries."""
    found = await retain_new_calls(connection, [each.call_id for each in reports], time.time())
    return [
        NewEntry("recording.held", {"call_id": call_id, "hold": hold_id})
        for call_id, hold_id in found
    ]


def index_row(sealed: Sealed) -> RecordingSummary:
    """Return the index row. Numbers are normalized unless the manifest commits to them (`salt`)."""
    fields = {name: getattr(sealed, name) for name in RecordingSummary.__struct_fields__}
    if sealed.salt:
        return RecordingSummary(**fields)
    own = {
        "number": indexed_number(sealed.number),
        "later_callers": tuple(
            replace(caller, number=indexed_number(caller.number)) for caller in sealed.later_callers
        ),
    }
    return RecordingSummary(**fields | own)
