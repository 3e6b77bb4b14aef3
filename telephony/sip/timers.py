"""Timers of the SIP core: the RFC's durations, and a heap of what is due when. Reads no clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

_COMPACT_ABOVE = 64
"""Below this many cancelled entries the heap is not worth rebuilding."""


@dataclass(frozen=True, slots=True)
class Timings:
    """The base timers of RFC 3261 17.1.1.1, in seconds; the others are multiples of them."""

    t1: float = 0.5
    """Estimate of the round trip; first retransmission."""
    t2: float = 4.0
    """Longest retransmission interval of non-INVITE requests and of INVITE responses."""
    t4: float = 5.0
    """Longest time that a message stays in the network."""
    trying: float = 0.2
    """How long an INVITE may go without any response, 100 included (17.2.1)."""
    provisional_refresh: float = 60.0
    """How often a ringing UAS repeats its last provisional response (13.3.1.1)."""

    @property
    def timeout(self) -> float:
        """64*T1: timers B, D, F, H, J, L and M."""
        return 64 * self.t1


class Timer:
    """One thing to be done at one time. Cancelling it twice, or after its time, is harmless."""

    __slots__ = ("_action", "_queue", "when")

    def __init__(self, when: float, action: Callable[[float], None], queue: TimerQueue) -> None:
        self.when = when
        self._action: Callable[[float], None] | None = action
        self._queue = queue

    @property
    def active(self) -> bool:
        """True until it has run or was cancelled."""
        return self._action is not None

    def cancel(self) -> None:
        """Never run it."""
        if self._action is not None:
            self._action = None
            self._queue.cancelled()

    def run(self, now: float) -> None:
        """Do it, once."""
        action, self._action = self._action, None
        if action is not None:
            action(now)


class TimerQueue:
    """A heap with lazy deletion: each operation is O(log n)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._dead = 0

    def __len__(self) -> int:
        """How many timers are active."""
        return len(self._heap) - self._dead

    def at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Have `action(now)` called once `when` has come."""
        timer = Timer(when, action, self)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def next(self) -> float | None:
        """When the earliest active timer is due."""
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
            self._dead -= 1
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Run what is due by `now`, in order; what that adds for `now` or before runs as well."""
        while (due := self.next()) is not None and due <= now:
            heapq.heappop(self._heap)[2].run(now)

    def cancelled(self) -> None:
        """Note that an entry of the heap has died; rebuild when most have."""
        self._dead += 1
        if self._dead > _COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._dead = 0
