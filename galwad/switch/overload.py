"""When a new call is refused for the sake of those that are there (503, RFC 3261 21.5.4).

Above the configured number, while the process is behind with its work and somebody talks whom a
further call would disturb, and when no media ports are left. A full disk is no reason: calls then
go on, and are not recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from config.sections import Sip

RETRY_AFTER_S: Final = "5"
_LOOK_BACK_S: Final = 1.0
_PAIRS_A_CALL: Final = 2
_REMEMBERED: Final = 1024
_COPIES_COME_S: Final = 32.0
"""A caller repeats its INVITE for so long (64*T1)."""
_QUIET_S: Final = 30.0

log = structlog.get_logger()


class Load:
    """How much work there is; times are monotonic seconds."""

    def __init__(self, sip: Sip, free_pairs: Callable[[], int]) -> None:
        """`free_pairs` says how many pairs of media ports are free."""
        self.refused = 0
        """Calls refused so far."""
        self._sip = sip
        self._free_pairs = free_pairs
        self._late: deque[tuple[float, float]] = deque()
        self._told: dict[str, float] = {}
        self._answered: dict[tuple[str, ...], float] = {}

    def late(self, seconds: float, now: float) -> None:
        """Note how late the loop was with something."""
        self._late.append((now, seconds))
        while self._late[0][0] < now - _LOOK_BACK_S:
            self._late.popleft()

    def lag(self, now: float) -> float:
        """The worst of the last second."""
        return max((late for when, late in self._late if when >= now - _LOOK_BACK_S), default=0.0)

    def refuses(self, calls: int, invite: tuple[str, ...], now: float) -> bool:
        """Whether a further call is too much; a copy of a refused INVITE is refused as well.

        `invite` tells INVITEs apart, and copies not.
        """
        reason = self._reason(calls, now)
        if not reason and self._answered.get(invite, float("-inf")) < now - _COPIES_COME_S:
            return False
        if reason:
            self._answered[invite] = now
            if len(self._answered) > _REMEMBERED:
                del self._answered[next(iter(self._answered))]
            self._tell(reason, now)
        self.refused += 1
        return True

    def _reason(self, calls: int, now: float) -> str:
        if calls >= self._sip.max_calls:
            return "calls"
        if calls and self.lag(now) > self._sip.max_lag:
            return "lag"
        return "ports" if self._free_pairs() < _PAIRS_A_CALL else ""

    def _tell(self, reason: str, now: float) -> None:
        if now - self._told.get(reason, float("-inf")) > _QUIET_S:
            log.warning("switch.overloaded", reason=reason)
        self._told[reason] = now
