"""The bookkeeping: each answered call is checked against index, archive and waiting spools.

The switch's reports on calls go into the ledger as they arrive. The comparison is in
`recording.index.coverage` and `recording.index.orphans`. Nothing is changed or deleted here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from galwad.desk.archive.files import ArchiveFolder
from galwad.messages import CallEnded, CallState, LeftSpool
from recording.archive.summary import RecordingSummary
from recording.errors import CatalogueError
from recording.index import orphans
from recording.index.catalogue import Catalogue, Cursor, Filters
from recording.index.coverage import CallCoverage, compare, uncovered_call
from recording.index.custody import Custodian
from recording.index.ledger import Answered, AnsweredCall, Ended, Ledger, LedgerEntry, OthersEnded
from recording.index.orphans import Orphan, is_young

_MARGIN_S: Final = 60.0
"""A call's answer and its recording's start are two readings of the clock, so they may differ."""
_PAGE: Final = 500
MOST_FINDINGS: Final = 1000
"""The most findings that are listed; if half a disk is lost, more would add nothing."""
_PATIENCE_S: Final = 0.25
"""The time in which entries are gathered into one transaction."""
_REFUSED_S: Final = 5.0
log = structlog.get_logger()


@dataclass(slots=True)
class Books:
    """The result of a check: sums over all calls, and a list of faults.

    `amiss` holds the calls that are not fully explained, in the order of their start; `orphans` the
    files, rows and spools without a counterpart. A busy centre has a quarter of a million calls a
    year, so the other calls are only counted.
    """

    calls: int = 0
    in_progress: int = 0
    talk_us: int = 0
    recorded_us: int = 0
    gap_us: int = 0
    unexplained_us: int = 0
    amiss: list[CallCoverage] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)

    def add(self, call: CallCoverage) -> None:
        """Add a call to the sums, and to `amiss` if it is not sound."""
        self.calls += 1
        self.talk_us += call.talk_us
        self.recorded_us += call.recorded_us
        self.gap_us += call.gap_us
        self.unexplained_us += call.unexplained_us
        if not call.is_clean:
            self.amiss.append(call)


class Bookkeeper:
    """Keeps the ledger, and balances it."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        custodian: Custodian,
        archive: ArchiveFolder,
        *,
        clock: Callable[[], float] = time.time,
        on_entered: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """Set up the bookkeeper.

        `on_entered` receives the ids of calls whose ends are now in the database, so that the
        switch stops repeating them.
        """
        self._ledger = ledger
        self._catalogue = catalogue
        self._custodian = custodian
        self._archive = archive
        self._clock = clock
        self._on_entered = on_entered
        self._owed: set[str] = set()
        self._looking = asyncio.Lock()
        """Held while one task looks through the archive, so that several requests do so in turn."""
        self._spools: dict[str, orphans.UnsealedSpool] = {}
        self._knows_spools = False
        """True once a finaliser has reported which spools wait."""
        self._entered: set[str] = set()
        self._entries: deque[LedgerEntry] = deque()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Write the entries in order, until cancelled.

        The pause before each batch lets the pages' own writes go first.
        """
        while True:
            self._news.clear()
            while self._entries:
                await asyncio.sleep(_PATIENCE_S)
                if not await self.flush():
                    await asyncio.sleep(_REFUSED_S)
            await self._news.wait()

    async def flush(self) -> bool:
        """Write the waiting entries; return False if the database refuses, and keep them."""
        batch = tuple(self._entries)
        try:
            await self._ledger.add(batch)
        except CatalogueError as error:
            log.error("ledger.not_written", why=str(error))  # noqa: TRY400 - it says what
            return False
        for _ in batch:
            self._entries.popleft()
        ended = {entry.call.call_id for entry in batch if isinstance(entry, Ended)}
        if entered := ended & self._owed:
            self._owed -= entered
            self._on_entered(entered)
        return True

    def call(self, state: CallState) -> None:
        """Enter the call in the ledger once it is answered and to be recorded."""
        recorded = state.recording not in {"not_started", "ended"}
        if state.state in {"answered", "held"} and recorded and state.call_id not in self._entered:
            self._entered.add(state.call_id)
            self._enter(Answered(state.call_id, state.recording_since or state.since))

    def ended(self, message: CallEnded) -> None:
        """Enter the end of a call."""
        self._entered.discard(message.call_id)
        if message.owed:
            self._owed.add(message.call_id)
        began = message.since or message.ended - (message.talk_us or 0) / 1_000_000
        call = AnsweredCall(message.call_id, began, message.ended, message.talk_us)
        self._enter(Ended(call, new=message.answered or message.owed))

    def snapshot(self, going_on: Collection[str]) -> None:
        """Enter as ended all calls that the switch does not list; how they ended is not known."""
        self._entered.intersection_update(going_on)
        self._enter(OthersEnded(frozenset(going_on), self._clock()))

    def _enter(self, entry: LedgerEntry) -> None:
        self._entries.append(entry)
        self._news.set()

    def spools_left(self, spools: Iterable[LeftSpool]) -> None:
        """Replace the list of waiting spools by the finaliser's report."""
        self._knows_spools = True
        self._spools = {
            each.name: orphans.UnsealedSpool(each.name, each.call_id, each.since, each.why)
            for each in spools
        }

    async def balance(self, since: float, until: float, live: Collection[str] | None) -> Books:
        """Check the calls answered in `since` ≤ t < `until`, and the whole archive for orphans.

        `live` holds the calls in progress; None if the switch is not connected and they are not
        known.
        """
        books = Books()
        calls = {
            call.call_id: call
            for call in await self._ledger.between(since - _MARGIN_S, until + _MARGIN_S)
        }

        def add(found: Iterable[CallCoverage]) -> None:
            for each in found:
                if since <= each.started < until:
                    books.add(each)

        async for rows in self._rows(since - _MARGIN_S, until + _MARGIN_S):
            known = [(row, calls.pop(row.call_id, None)) for row in rows]
            add(await asyncio.to_thread(self._cover_all, known))
        for call in calls.values():
            found = await self._without_row(call, live)
            add([found] if found is not None else [])
            books.in_progress += found is None
        books.amiss.sort(key=lambda each: (each.started, each.call_id))
        books.orphans += await self._orphans()
        return books

    async def news(self, books: Books) -> list[tuple[str, str]]:
        """Return the alarms for new findings, each as a kind and a call id.

        A finding is new if the last check did not have it.
        """
        alarms = {
            f"{_alarm_of(call)} {call.call_id}": (_alarm_of(call), call.call_id)
            for call in books.amiss[:MOST_FINDINGS]
        }
        for orphan in books.orphans[:MOST_FINDINGS]:
            key = f"archive.orphan {orphan.kind} {orphan.name}"
            alarms[key] = ("archive.orphan", orphan.call_id)
        fresh = await self._ledger.new_findings(alarms.keys(), self._clock())
        return [alarms[key] for key in sorted(fresh)]

    async def unexplained(self, call_id: str) -> None:
        """Note that the alarm for this call's unexplained part was raised when it was sealed."""
        await self._ledger.mark_known(f"recording.unexplained {call_id}", self._clock())

    def _cover_all(
        self, known: Iterable[tuple[RecordingSummary, AnsweredCall | None]]
    ) -> list[CallCoverage]:
        return [self._cover(row, call) for row, call in known]

    def _cover(self, row: RecordingSummary, call: AnsweredCall | None) -> CallCoverage:
        return compare(row, self._archive.content(row, "manifest"), call)

    async def _without_row(
        self, call: AnsweredCall, live: Collection[str] | None
    ) -> CallCoverage | None:
        """Return the finding for a call without a row in this time.

        None if the call is in progress, or so recent that its row may still come.
        """
        now = self._clock()
        if call.ended is None and (live is None or call.call_id in live):
            return None
        if is_young(call.answered if call.ended is None else call.ended, now):
            return None
        row = await self._catalogue.get(call.call_id)
        if row is not None:  # the clock was corrected during the call
            return await asyncio.to_thread(self._cover, row, call)
        waiting = next((s for s in self._spools.values() if s.call_id == call.call_id), None)
        if waiting is None and not self._knows_spools:
            text = "it is not indexed, and no finaliser has said whether its spool waits: start it"
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
        async with self._looking:
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
