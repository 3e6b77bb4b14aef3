"""Decides whether this machine's clock can be trusted when the term of a recording is over.

A clock that is a year ahead would dispose of a year of recordings. So the clock is in doubt if the
kernel does not report it as synchronised, if it was set by a large step, or if the newest nightly
run is days ago or in the future. A step or a gap stays in doubt until an administrator confirms the
clock. On a machine whose clock is not synchronised, a confirmation counts until the next start of
the machine, or until its clock is set.

A restored backup may lack legal holds. So disposals wait for a confirmation after a restore, too.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final

from recording.audit.chain import RESTORED
from recording.audit.log import AuditEntry, AuditLog

CONFIRMED: Final = "clock.confirmed"
DOUBTED: Final = "clock.doubted"
_LARGEST_STEP_S: Final = 300.0
_LONGEST_GAP_S: Final = 3 * 86_400.0
_HOLDS_MISSING: Final = "a backup was restored, so legal holds may be missing: open them again"
_TIME_ERROR: Final = 5
"""The result of adjtimex(2) for a clock that is not synchronised."""
_TIMEX_BYTES: Final = 512
"""More than struct timex has; with modes 0, the call only reads."""


def is_synchronised() -> bool:
    """Return whether the kernel reports its clock as synchronised (adjtimex(2))."""
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state != _TIME_ERROR


class ClockWatch:
    """Watches this machine's clock. Its methods raise `AuditError`.

    `clock` returns Unix seconds, and `uptime` the seconds since the machine started, which a change
    of the clock does not affect.
    """

    def __init__(
        self,
        audit: AuditLog,
        *,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        is_synchronised: Callable[[], bool] = is_synchronised,
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._uptime = uptime
        self._is_synchronised = is_synchronised
        self._started = clock() - uptime()

    async def check_step(self) -> None:
        """Enter a doubt in the audit if the clock was set by a large step since the last call."""
        started = self._clock() - self._uptime()
        step = started - self._started
        if abs(step) > _LARGEST_STEP_S:
            await self._doubt(f"the clock was set by {step:+.0f} s")
        self._started = started

    async def check_gap(self, newest_run: AuditEntry | None) -> None:
        """Enter a doubt in the audit if the newest nightly run is days ago, or in the future.

        If an administrator has confirmed the clock since then, the confirmation counts instead.
        """
        confirmed = await self._audit.last(CONFIRMED)
        newest = max(filter(None, (newest_run, confirmed)), key=lambda e: e.seq, default=None)
        if newest is None:
            return
        gap = self._clock() - newest.at_us / 1_000_000
        if gap > _LONGEST_GAP_S:
            await self._doubt(f"the nightly run before was {gap / 86_400:.0f} days ago")
        elif gap < -_LARGEST_STEP_S:
            await self._doubt("the nightly run before has a later time than now")

    async def confirm(self, reason: str, actor: str) -> None:
        """Enter in the audit that an administrator has checked the clock."""
        await self.check_step()
        facts = {"uptime_s": int(self._uptime())}
        await self._audit.append(CONFIRMED, facts, {"actor": actor, "reason": reason})

    async def why_in_doubt(self) -> str:
        """Return why the clock, or a restored backup, is in doubt; "" if both can be trusted."""
        confirmed, restored = await self._audit.last(CONFIRMED), await self._audit.last(RESTORED)
        reasons = [await self._why_clock_in_doubt(confirmed)]
        if restored is not None and (confirmed is None or confirmed.seq < restored.seq):
            reasons.append(_HOLDS_MISSING)
        return "; ".join(filter(None, reasons))

    async def _why_clock_in_doubt(self, confirmed: AuditEntry | None) -> str:
        doubted = await self._audit.last(DOUBTED)
        if doubted is not None and (confirmed is None or confirmed.seq < doubted.seq):
            return str(doubted.facts.get("why", "the clock was set"))
        if self._is_synchronised() or (confirmed is not None and self._still_counts(confirmed)):
            return ""
        return "the clock is not synchronised"

    def _still_counts(self, confirmed: AuditEntry) -> bool:
        """Return whether the machine runs since a confirmation, and its clock was not set."""
        passed = self._clock() - confirmed.at_us / 1_000_000
        run = self._uptime() - int(confirmed.facts.get("uptime_s", 0))
        return run >= 0 and abs(passed - run) <= _LARGEST_STEP_S

    async def _doubt(self, why: str) -> None:
        """Enter a doubt, unless the newest doubt is the same and is not confirmed."""
        if await self._why_clock_in_doubt(await self._audit.last(CONFIRMED)) != why:
            await self._audit.append(DOUBTED, {"why": why})
