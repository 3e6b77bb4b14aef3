"""Refusal of new calls (503, RFC 3261 section 21.5.4) to protect the calls in progress.

A new call is refused in three cases: there are already as many calls as the settings allow, no
media ports are free, or the delay of the event loop is too long while other calls are in progress.
A full disk is not a reason to refuse a call, because a call can continue without being recorded.

A single long delay refuses no call. It is over before the next call arrives, and a second of
refusals would harm more callers than the delay itself. If the load is too high, each delay is
followed by another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import nlargest
from typing import Final

import structlog

from config.sections import SipSection

RETRY_AFTER_S: Final = "5"
_LOOK_BACK_S: Final = 1.0
_PAIRS_A_CALL: Final = 2
_REMEMBERED: Final = 1024
_COPIES_COME_S: Final = 32.0
"""The longest time in seconds for which a caller retransmits its INVITE (64*T1)."""
_QUIET_S: Final = 30.0

log = structlog.get_logger()


class OverloadControl:
    """Measures the load, and decides whether to refuse a new call.

    All times are in monotonic seconds.
    """

    def __init__(self, sip: SipSection, free_pairs: Callable[[], int]) -> None:
        """Start with no delays stored and no calls refused.

        `free_pairs` returns the number of free pairs of media ports.
        """
        self.refused = 0
        """The number of calls refused so far; retransmissions of an INVITE are not counted."""
        self._sip = sip
        self._free_pairs = free_pairs
        self._late: deque[tuple[float, float]] = deque()
        self._reported: dict[str, float] = {}
        self._answered: dict[tuple[str, ...], float] = {}

    def late(self, seconds: float, now: float) -> None:
        """Store that the event loop had a delay of `seconds` at the time `now`."""
        self._late.append((now, seconds))
        while self._late[0][0] < now - _LOOK_BACK_S:
            self._late.popleft()

    def lag(self, now: float) -> float:
        """Return the second longest delay of the event loop during the most recent second.

        The result is in seconds. It is 0 if fewer than two delays were stored.
        """
        recent = (late for when, late in self._late if when >= now - _LOOK_BACK_S)
        longest = nlargest(2, recent)
        return longest[1] if len(longest) == 2 else 0.0

    def refuses(self, calls: int, invite: tuple[str, ...], now: float) -> bool:
        """Return whether to refuse a new call. `calls` is the number of calls in progress.

        `invite` identifies the INVITE: all retransmissions of an INVITE have the same value, and
        different INVITEs have different values. If an INVITE was refused, its retransmissions are
        refused too.
        """
        reason = self._reason(calls, now)
        copy = self._answered.get(invite, float("-inf")) >= now - _COPIES_COME_S
        if not (reason or copy):
            return False
        if reason:
            self._answered[invite] = now
            if len(self._answered) > _REMEMBERED:
                del self._answered[next(iter(self._answered))]
            self._warn(reason, now)
        self.refused += not copy
        return True

    def _reason(self, calls: int, now: float) -> str:
        if calls >= self._sip.max_calls:
            return "calls"
        if calls and self.lag(now) > self._sip.max_lag:
            return "lag"
        return "ports" if self._free_pairs() < _PAIRS_A_CALL else ""

    def _warn(self, reason: str, now: float) -> None:
        if now - self._reported.get(reason, float("-inf")) > _QUIET_S:
            log.warning("switch.overloaded", reason=reason)
        self._reported[reason] = now
