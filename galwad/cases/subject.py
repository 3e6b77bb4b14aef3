"""`CasesSubject`: the register of requests by people about their data, and its warnings."""

from __future__ import annotations

import asyncio
import time
from datetime import date, datetime, timedelta
from typing import Annotated, Final, Protocol

import structlog
from fastapi import Depends

from galwad.archive.periodic import next_time
from galwad.archive.subject import ArchiveSubject
from galwad.calls.subject import CallsSubject
from galwad.cases.scope import PersonSearcher
from galwad.cases.store import CaseStore
from galwad.directories.subject import DirectoriesSubject
from galwad.host.host import Host, desk_of
from galwad.host.limits import Rate, Window
from galwad.messages import Alarm, CallsSnapshot
from galwad.notes.subject import NotesDesk, NotesSubject

OPENED: Final = "case.opened"
"""The kind of the alarm about a case that an advisor has opened, and that needs an owner."""
DUE: Final = "case.due"
"""The kind of the alarm about a case whose deadline is near or over."""
_WARN: Final = timedelta(days=7)
_REMIND: Final = timedelta(days=30)
"""The time after which the owner is reminded that a case still waits for the person."""
_OPENED: Final = Rate(10, 600.0)
"""The most cases that one user can open from calls in 600 s."""
_SETTLE_S: Final = 60.0
_INTERVAL_S: Final = 60.0
log = structlog.get_logger()


class CasesSubject:
    """The cases of one desk. Each night, an alarm is raised about each case that is due soon."""

    def __init__(
        self,
        host: Host,
        directories: DirectoriesSubject,
        calls: CallsSubject,
        archive: ArchiveSubject,
        notes: NotesSubject,
    ) -> None:
        self._host = host
        self._calls = calls
        self._zone = host.settings.desk.time_zone
        self.store = CaseStore(host.engine)
        self.searcher = PersonSearcher(
            directories.lookup,
            archive.catalogue,
            calls.log.store,
            notes.contacts,
            host.settings.directory.area_code,
        )
        archive.case_has = self._has
        self.opened_by_users = Window[str](_OPENED)
        host.on_start(self._restore)
        host.hear(CallsSnapshot, lambda _: host.background.spawn(self._restore()))
        host.loop(self._run)

    async def _has(self, case_id: int, call_id: str) -> bool:
        """Return whether a case is open, and a search for it has found the call."""
        case = await self.store.one(case_id, self.today())
        is_open = case is not None and case.deadlines.state != "closed"
        return is_open and await self.store.has_call(case_id, call_id)

    async def _restore(self) -> None:
        """Add to the live calls the cases that were opened for them before a restart."""
        for call_id, case in await self.store.opened_in(
            [call.call_id for call in self._calls.live.all()]
        ):
            self._calls.live.case_opened(call_id, case)

    def today(self) -> date:
        """Return the present day in the zone of the centre."""
        return self.day_of(time.time())

    def day_of(self, moment: float) -> date:
        """Return the day of a moment (Unix seconds) in the zone of the centre."""
        return datetime.fromtimestamp(moment, self._zone).date()

    async def _run(self) -> None:
        await asyncio.sleep(_SETTLE_S)
        warned = 0.0
        while True:
            if time.time() >= next_time(self._host.settings.desk.nightly, warned, self._zone):
                try:
                    await self.warn()
                    warned = time.time()
                except Exception:  # The next round repeats it.
                    log.exception("cases.not_checked")
            await asyncio.sleep(_INTERVAL_S)

    async def warn(self) -> None:
        """Raise an alarm about each case whose deadline is at most a week away, or is over.

        A case that waits for the person for 30 days raises one too, and one that has no owner.
        """
        today = self.today()
        for each in await self.store.all(today):
            day = each.deadlines.next
            waits = each.deadlines.waits_since
            case = each.case
            if not case.owner:
                self._host.alarm(Alarm(OPENED, None, f"{case.case_id}: {case.kind}"))
            who = f"{case.case_id}: {case.owner or 'no owner,'}"
            if day is not None and day - today <= _WARN:
                self._host.alarm(Alarm(DUE, None, f"{who} must act by {day}"))
            elif waits is not None and today - waits >= _REMIND:
                self._host.alarm(Alarm(DUE, None, f"{who} waits since {waits}"))


class CasesDesk(NotesDesk, Protocol):
    """The parts of the desk that endpoints about cases use."""

    archive: ArchiveSubject
    cases: CasesSubject


TheDesk = Annotated[CasesDesk, Depends(desk_of)]
