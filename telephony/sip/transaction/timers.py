"""Timers of the SIP core: the RFC's durations, and a heap of pending timers. It reads no clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

_COMPACT_ABOVE = 64
"""The heap is rebuilt only when it has more cancelled entries than this."""


@dataclass(frozen=True, slots=True)
class Timings:
    """The base timers of RFC 3261 17.1.1.1, in seconds; the others are multiples of them."""

    t1: float = 0.5
    """Estimate of the round-trip time; the first retransmission interval."""
    t2: float = 4.0
    """The longest retransmission interval of non-INVITE requests and of INVITE responses."""
    t4: float = 5.0
    """The longest time that a message stays in the network."""
    trying: float = 0.2
    """The time within which an INVITE gets a response, 100 if there is no other (17.2.1)."""
    provisional_refresh: float = 60.0
    """The interval at which a ringing UAS repeats its last provisional response (13.3.1.1)."""

    @property
    def timeout(self) -> float:
        """64*T1, in seconds: the duration of timers B, D, F, H, J, L and M."""
        return 64 * self.t1


class Timer:
    """One action at one time. Cancelling it twice, or after it has run, is harmless."""

    __slots__ = ("_action", "_queue", "when")

    def __init__(self, when: float, action: Callable[[float], None], queue: TimerQueue) -> None:
        self.when = when
        self._action: Callable[[float], None] | None = action
        self._queue = queue

    @property
    def active(self) -> bool:
        """True until the timer has run or is cancelled."""
        return self._action is not None

    def cancel(self) -> None:
        """Cancel the timer: its action will not run."""
        if self._action is not None:
            self._action = None
            self._queue.cancelled()

    def run(self, now: float) -> None:
        """Run the action, unless it has run or is cancelled."""
        action, self._action = self._action, None
        if action is not None:
            action(now)


class TimerQueue:
    """A heap of timers with lazy deletion: each operation is O(log n)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._dead = 0

    def __len__(self) -> int:
        """Return the number of active timers."""
        return len(self._heap) - self._dead

    def at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Add a timer that calls `action(now)` when `when` has come."""
        timer = Timer(when, action, self)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def next(self) -> float | None:
        """Return when the earliest active timer is due; None if no timer is active."""
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
            self._dead -= 1
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Run all timers due by `now`, in order, including those that these timers add."""
        while (due := self.next()) is not None and due <= now:
            heapq.heappop(self._heap)[2].run(now)

    def cancelled(self) -> None:
        """Count a cancelled entry of the heap; rebuild the heap when most are cancelled."""
        self._dead += 1
        if self._dead > _COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._dead = 0
