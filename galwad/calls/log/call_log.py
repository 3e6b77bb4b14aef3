"""Writes the log of calls from the reports of the switch and the finaliser.

Reports wait in a queue, so no call waits for the database; one transaction applies several to their
rows. The log has no other memory: after a restart, the switch's snapshot and the repeated reports
complete the rows, none of them twice. A call's number is personal data, which is kept only until
the day's missed calls can be rung back; the row is kept longer, for statistics.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

import structlog
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.calls.live_calls import DeskCall
from galwad.calls.log.logged_call import end, follow, seal
from galwad.calls.log.store import MOST_IDS, CallStore, Rows
from galwad.host.switch_client import FromSwitch
from galwad.messages import CallChanged, CallEnded, CallsSnapshot, CallStatus, Sealed
from galwad.settings.calls import CallLogSection

_BATCH_S: Final = 0.25
"""The seconds for which reports are collected before one transaction writes them."""
_RETRY_S: Final = 5.0
PATIENCE_S: Final = 5.0
"""Within these seconds after a snapshot, a call that it lacks may still end or ring again."""
_CLEAN_S: Final = 600.0
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
_LANGUAGES: Final = ("en", "cy")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """The report that the confirmed caller of a call prefers a language."""

    call_id: str
    language: str


@dataclass(frozen=True, slots=True)
class _OthersEnded:
    """The report that only the calls in `live` have not ended at the Unix time `now`."""

    live: frozenset[str]
    now: float


@dataclass(frozen=True, slots=True)
class _Followed:
    """The switch's report of a call's state, which arrived at the Unix time `now`."""

    status: CallStatus
    now: float


Report: TypeAlias = _Followed | CallEnded | Sealed | _Confirmed | _OthersEnded


class CallLog:
    """The log of calls; `on_changed` gets the users whose day has changed."""

    def __init__(
        self,
        engine: AsyncEngine,
        section: CallLogSection,
        on_changed: Callable[[Collection[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = CallStore(engine)
        self._section = section
        self._on_changed = on_changed
        self._clock = clock
        self._reports: deque[Report] = deque()
        self._added = asyncio.Event()
        self._writing = asyncio.Lock()
        self._live: set[str] = set()
        """The calls that the switch has reported since its snapshot, and that have not ended."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """The number of reports that are not written yet."""
        return len(self._reports)

    async def run(self) -> None:
        """Write the reports, and remove old numbers and rows, until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._write_reports())
            loops.create_task(self._clean_regularly())

    async def _write_reports(self) -> None:
        while True:
            self._added.clear()
            while self._reports:
                await asyncio.sleep(_BATCH_S)
                try:
                    await self.flush()
                except SQLAlchemyError as error:
                    # The database may be back in a moment.
                    log.error("call_log.not_written", why=type(error).__name__)  # noqa: TRY400
                    await asyncio.sleep(_RETRY_S)
                except Exception:
                    # No error may end the writing for ever.
                    log.exception("call_log.not_written")
                    await asyncio.sleep(_RETRY_S)
            await self._added.wait()

    async def _clean_regularly(self) -> None:
        while True:
            try:
                await self.clean()
            except SQLAlchemyError as error:
                log.error("call_log.not_cleaned", why=type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(_CLEAN_S)

    async def clean(self) -> None:
        """Remove the numbers and rows that are older than the settings allow.

        Raises:
            SQLAlchemyError: The database cannot be written.
        """
        now = self._clock()
        numbers = await self.store.forget_numbers(now - self._section.numbers_hours * _HOUR_S)
        rows = await self.store.remove(now - self._section.calls_days * _DAY_S)
        if numbers or rows:
            log.info("call_log.cleaned", numbers=numbers, rows=rows)

    async def flush(self) -> None:
        """Write the reports that are not written yet.

        Raises:
            SQLAlchemyError: The database cannot be written. The reports are kept.
        """
        async with self._writing:
            while self._reports:
                batch = tuple(islice(self._reports, MOST_IDS))
                users = await self.store.change(
                    {_call_id(report) for report in batch},
                    partial(_apply, batch),
                    in_progress=any(isinstance(report, _OthersEnded) for report in batch),
                )
                for _ in batch:
                    self._reports.popleft()
                if users:
                    self._on_changed(users)

    async def stop(self) -> None:
        """Write the waiting reports, and wait no longer for calls that a snapshot did not have."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self.flush()
        except SQLAlchemyError as error:
            log.error("call_log.not_written", why=type(error).__name__)  # noqa: TRY400

    def received(self, message: FromSwitch) -> None:
        """Handle a message of the switch."""
        match message:
            case CallsSnapshot():
                self._live = {call.call_id for call in message.calls}
                for call in message.calls:
                    self._add(_Followed(call, self._clock()))
                if self._timer is not None:
                    self._timer.cancel()
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(PATIENCE_S, self._end_others)
            case CallChanged():
                self._live.add(message.call.call_id)
                self._add(_Followed(message.call, self._clock()))
            case CallEnded():
                self._live.discard(message.call_id)
                self._add(message)

    def _end_others(self) -> None:
        """End, at the present time, the calls that ended while the desk was not connected."""
        self._add(_OthersEnded(frozenset(self._live), self._clock()))

    def call_changed(self, before: DeskCall | None, after: DeskCall) -> None:
        """Handle a change of a live call: a caller who is now confirmed has a language."""
        known = before.pop.confirmed_person if before is not None else None
        person = after.pop.confirmed_person
        if person is not None and person != known and person.language in _LANGUAGES:
            self._add(_Confirmed(after.call_id, person.language))

    async def sealed(self, reports: Collection[Sealed]) -> None:
        """Log sealed recordings, unless they are too old for it; return when they are written.

        Raises:
            SQLAlchemyError: The database cannot be written. The finaliser must report them again.
        """
        oldest = self._clock() - self._section.calls_days * _DAY_S
        for sealed in reports:
            if sealed.started >= oldest:
                self._add(sealed)
        await self.flush()

    def _add(self, report: Report) -> None:
        self._reports.append(report)
        self._added.set()


def _call_id(report: Report) -> str:
    match report:
        case _Followed():
            return report.status.call_id
        case _OthersEnded():
            return ""
        case _:
            return report.call_id


def _apply(reports: Collection[Report], rows: Rows) -> None:
    for report in reports:
        if isinstance(report, _OthersEnded):
            for call in tuple(rows.values()):
                if not call.ended and call.call_id not in report.live:
                    assumed = CallEnded(call.call_id, report.now, answered=False)
                    rows[call.call_id] = end(call, assumed) or call
            continue
        call_id = _call_id(report)
        before = after = rows.get(call_id)
        match report:
            case _Followed():
                after = follow(before, report.status, report.now)
            case CallEnded():
                after = end(before, report)
            case Sealed():
                after = seal(before, report)
            case _Confirmed():
                after = before and replace(before, language=report.language)
        if after is not None:
            rows[call_id] = after
