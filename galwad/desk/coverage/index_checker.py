"""The check of the index: it compares rows with the signed manifests and the audit chain.

Unlike the coverage check, it includes recordings without a call in the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from galwad.desk.archive.files import ArchiveFolder
from recording.archive.commitments import SALT_MISSING, RowComparison, compare_file
from recording.archive.summary import RecordingSummary
from recording.audit.index_comparison import EVERY_CALL, CallIds, IndexComparison, IndexFinding
from recording.index.catalogue import Catalogue
from recording.index.orphans import YOUNG_S

_PAGE: Final = 500


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
        self._clock = clock

    async def check(self, ids: CallIds = EVERY_CALL) -> IndexReport:
        """Check the rows of the calls in a range of call ids.

        Raises:
            AuditError, CatalogueError: The database cannot be read.
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
        for call_id in removed - await self._comparison.without_facts(removed):
            found[IndexFinding(call_id, SALT_MISSING)] = None
        found |= dict.fromkeys(await self._comparison.recordings(ids, self._clock(), YOUNG_S))
        found |= dict.fromkeys(await self._comparison.ledger(ids))
        report.findings = sorted(found, key=lambda each: each.call_id)
        return report

    def _compare(
        self, rows: Iterable[RecordingSummary]
    ) -> list[tuple[RecordingSummary, RowComparison]]:
        return [(row, compare_file(row, self._archive.content(row, "manifest"))[0]) for row in rows]


def ids_of(call_id: str) -> CallIds:
    """Return a small range of call ids that has this call id."""
    return CallIds(call_id[:-1], call_id + "~")


def ids_between(since: float, until: float) -> CallIds:
    """Return the range of the ids of calls that began to ring in a period (Unix seconds)."""
    first, last = (time.strftime("%Y%m%d-%H%M%S", time.gmtime(each)) for each in (since, until))
    return CallIds(first, last)
