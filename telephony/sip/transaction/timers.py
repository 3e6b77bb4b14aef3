"""The timers of the SIP core: the durations of RFC 3261, and a queue that reads no clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

_COMPACT_ABOVE = 64
"""If more timers than this, and more than half of all, are cancelled, the heap is rebuilt."""


@dataclass(frozen=True, slots=True)
class Timings:
    """The base durations in seconds of timers A to M (RFC 3261 17.1.1.1, 17.1.2.2) and others."""

    t1: float = 0.5
    """The estimated round-trip time, and the first interval between two retransmissions."""
    t2: float = 4.0
    """The longest interval between retransmissions, except those of an INVITE request."""
    t4: float = 5.0
    """The longest time for which a message can stay in the network."""
    trying: float = 0.2
    """After this time without our response, a received INVITE gets 100 (RFC 3261 17.2.1)."""
    provisional_refresh: float = 60.0
    """The interval of our repeated provisional response to an INVITE (RFC 3261 13.3.1.1)."""

    @property
    def timeout(self) -> float:
        """The duration of the timers B, D, F, H, J, L and M in seconds: 64*T1."""
        return 64 * self.t1


class Timer:
    """One action that runs once, at a given time. `cancel` may be called at any time."""

    __slots__ = ("_action", "_queue", "when")

    def __init__(self, when: float, action: Callable[[float], None], queue: TimerQueue) -> None:
        self.when = when
        self._action: Callable[[float], None] | None = action
        self._queue = queue

    @property
    def active(self) -> bool:
        """True until the action has run or the timer was cancelled."""
        return self._action is not None

    def cancel(self) -> None:
        """Cancel the timer, so that its action will not run."""
        if self._action is not None:
            self._action = None
            self._queue.cancelled()

    def run(self, now: float) -> None:
        """Run the action, unless it has run or the timer was cancelled."""
        action, self._action = self._action, None
        if action is not None:
            action(now)


class TimerQueue:
    """The timers of one endpoint in a heap. Cancelled timers may stay in it for a while."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Add and return a timer that calls `action(now)` at `when`, in monotonic seconds."""
        timer = Timer(when, action, self)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def next(self) -> float | None:
        """Return the monotonic seconds of the earliest active timer; None if there is none."""
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
            self._dead -= 1
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Run all active timers due by `now`, the earliest first, also those that actions add."""
        while (due := self.next()) is not None and due <= now:
            heapq.heappop(self._heap)[2].run(now)

    def cancelled(self) -> None:
        """Count one more cancelled timer. If most are cancelled, rebuild the heap without them."""
        self._dead += 1
        if self._dead > _COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._dead = 0
