"""Logs calls from the reports of the switch and the finaliser.

Reports wait in a queue, so no call waits for the database (`galwad.host.call_follower`). A call's
number is personal data. It is kept only for `numbers_hours`, so that missed calls can be rung back.
The row is kept longer, for statistics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import structlog
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.calls.live_calls import DeskCall
from galwad.calls.log.logged_call import end, follow, seal
from galwad.calls.log.store import CallStore, Rows
from galwad.host.call_follower import CallFollower
from galwad.host.switch_client import FromSwitch
from galwad.messages import CallChanged, CallEnded, CallsSnapshot, CallStatus, Sealed
from galwad.settings.desk import CallLogSection

PATIENCE_S: Final = 5.0
"""The seconds after a snapshot in which calls that it lacks may still be reported."""
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
    """The report that all calls except those in `live` had ended at the Unix time `now`."""

    live: frozenset[str]
    now: float


@dataclass(frozen=True, slots=True)
class _Followed:
    """The switch's report of a call's state, which arrived at the Unix time `now`."""

    status: CallStatus
    now: float


Report: TypeAlias = _Followed | CallEnded | Sealed | _Confirmed | _OthersEnded


class CallLog:
    """The log of calls. It passes users whose day has changed to `on_changed`."""

    def __init__(
        self,
        engine: AsyncEngine,
        follower: CallFollower,
        section: CallLogSection,
        on_changed: Callable[[Collection[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = CallStore(engine)
        self._section = section
        self._on_changed = on_changed
        self._clock = clock
        self.reports = follower.queue("call_log", self._write, self._written)
        self._users: set[str] = set()
        """The users whose day the newest batch has changed."""
        self._live: set[str] = set()
        """The live calls, from the newest snapshot and the reports after it."""
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Remove old numbers and rows until cancelled."""
        while True:
            try:
                await self.clean()
            except SQLAlchemyError as error:
                log.error("call_log.not_cleaned", why=type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(_CLEAN_S)

    async def clean(self) -> None:
        """Remove numbers and rows older than the settings allow. Raises `SQLAlchemyError`."""
        now = self._clock()
        numbers = await self.store.forget_numbers(now - self._section.numbers_hours * _HOUR_S)
        rows = await self.store.remove(now - self._section.calls_days * _DAY_S)
        if numbers or rows:
            log.info("call_log.cleaned", numbers=numbers, rows=rows)

    async def _write(self, connection: AsyncConnection, batch: Sequence[Report]) -> tuple[()]:
        self._users = await self.store.change(
            connection,
            {_call_id(report) for report in batch},
            partial(_apply, batch),
            in_progress=any(isinstance(report, _OthersEnded) for report in batch),
        )
        return ()

    def _written(self, _: Sequence[Report]) -> None:
        if self._users:
            self._on_changed(self._users)

    def stop(self) -> None:
        """Cancel the timer after which missing calls count as ended."""
        if self._timer is not None:
            self._timer.cancel()

    def received(self, message: FromSwitch) -> None:
        """Handle a message of the switch."""
        match message:
            case CallsSnapshot():
                self._live = {call.call_id for call in message.calls}
                for call in message.calls:
                    self.reports.add(_Followed(call, self._clock()))
                self.stop()
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(PATIENCE_S, self._end_others)
            case CallChanged():
                self._live.add(message.call.call_id)
                self.reports.add(_Followed(message.call, self._clock()))
            case CallEnded():
                self._live.discard(message.call_id)
                self.reports.add(message)

    def _end_others(self) -> None:
        self.reports.add(_OthersEnded(frozenset(self._live), self._clock()))

    def call_changed(self, before: DeskCall | None, after: DeskCall) -> None:
        """Log the preferred language of a caller who was just confirmed."""
        known = before.pop.confirmed_person if before is not None else None
        person = after.pop.confirmed_person
        if person is not None and person != known and person.language in _LANGUAGES:
            self.reports.add(_Confirmed(after.call_id, person.language))

    async def sealed(self, reports: Collection[Sealed]) -> None:
        """Log sealed recordings that are not too old for the log, and wait for the database.

        Raises `AuditError` if the database cannot be written. The finaliser must then repeat the
        reports.
        """
        oldest = self._clock() - self._section.calls_days * _DAY_S
        for sealed in reports:
            if sealed.started >= oldest:
                self.reports.add(sealed)
        await self.reports.flush()


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
