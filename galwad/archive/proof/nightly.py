"""The nightly check: it checks coverage once a day and raises an alarm for each new finding.

Each check is in the audit chain with its time, so a missed one shows; it is done when the desk runs
again. An entry with a time in the future is ignored, because the clock was wrong then, and no check
would be done before that time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, time, timedelta, tzinfo
from time import time as unix_time
from typing import Final

import structlog

from galwad.archive.proof.checker import CoverageChecker, CoverageResult
from galwad.messages import Alarm
from recording.audit.log import AuditLog
from recording.errors import RecordingError

COVERAGE_CHECKED: Final = "coverage.checked"
_DAY_S: Final = 86_400.0
_INTERVAL_S: Final = 30.0
_SETTLE_S: Final = 300.0
"""The seconds after the desk's start until the first check. By then the switch has reported the
calls in progress, and the finaliser the unsealed spools.
"""
log = structlog.get_logger()


class NightlyCheck:
    """Runs the coverage check once a day at `at`, such as "03:00", in `zone` or local time.

    `calls_in_progress` returns None if they are not known. After each check, `on_done` receives the
    result, and then `on_finished` is called.
    """

    def __init__(
        self,
        at: str,
        checker: CoverageChecker,
        audit: AuditLog,
        *,
        calls_in_progress: Callable[[], Collection[str] | None],
        on_alarm: Callable[[Alarm], None],
        on_done: Callable[[CoverageResult], None],
        on_finished: Callable[[], Awaitable[None]],
        zone: tzinfo | None = None,
        clock: Callable[[], float] = unix_time,
    ) -> None:
        self._zone = zone
        self._at = at
        self._checker = checker
        self._audit = audit
        self._calls_in_progress = calls_in_progress
        self._on_alarm = on_alarm
        self._on_done = on_done
        self._on_finished = on_finished
        self._clock = clock
        self._begun = clock()

    async def run(self) -> None:
        """Run each check when due, or missed before, but not in the first `_SETTLE_S` seconds."""
        await asyncio.sleep(_SETTLE_S)
        while True:
            try:
                if await self.is_due():
                    await self.check()
            except (RecordingError, OSError) as error:
                log.error("coverage.not_checked", why=str(error))  # noqa: TRY400 - it says what
            await asyncio.sleep(_INTERVAL_S)

    async def is_due(self) -> bool:
        """Return whether the time of day has come since the latest check, or else the start."""
        now = self._clock()
        last = await self._last(now)
        self._begun = min(self._begun, now)
        return now >= next_time(self._at, self._begun if last is None else last, self._zone)

    async def check(self) -> CoverageResult:
        """Check coverage, raise an alarm for each new finding, and add an audit entry.

        The period begins one day before the previous check or, if there was none, before now.
        """
        now = self._clock()
        last = await self._last(now)
        since = (now if last is None else last) - _DAY_S
        result = await self._checker.check(since, now, self._calls_in_progress())
        for kind, call_id in await self._checker.new_findings(result):
            self._on_alarm(Alarm(kind, call_id or None))
        facts = {
            "since": int(since),
            "until": int(now),
            "calls": result.calls,
            "amiss": len(result.faulty_calls),
            "unexplained_us": result.unexplained_us,
            "orphans": len(result.orphans),
            "silent": len(result.silent_calls),
        }
        await self._audit.append(COVERAGE_CHECKED, facts)
        log.info("coverage.checked", **facts)
        self._on_done(result)
        await self._on_finished()
        return result

    async def _last(self, now: float) -> float | None:
        entry = await self._audit.last(COVERAGE_CHECKED, by=now)
        return None if entry is None else entry.at_us / 1_000_000


def next_time(at: str, after: float, zone: tzinfo | None = None) -> float:
    """Return the first Unix time after `after` with this time of day; no `zone` means local."""
    moment = time.fromisoformat(at)
    day = datetime.fromtimestamp(after, zone).date()
    # Add a calendar day and not 24 hours, because a day on which the clocks change is shorter or
    # longer.
    while (due := datetime.combine(day, moment, zone).timestamp()) <= after:
        day += timedelta(days=1)
    return due
