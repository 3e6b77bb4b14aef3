"""A limit on the share of time that one kind of work may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MOST_OF_CPU: Final = 2.0
"""The largest time of a piece of work, as a multiple of its processor time.

If it takes longer, this process waited for the processor or a disk. The work is not the cause, so
it need not rest for the whole time.
"""


class WorkTimer:
    """Measures how long one piece of work takes in this thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start measuring. The clocks return monotonic and processor time, both in seconds."""
        self._clock, self._cpu_clock = clock, cpu_clock
        self._began, self._cpu_began = clock(), cpu_clock()

    @property
    def seconds(self) -> float:
        """The time since the start, but at most `MOST_OF_CPU` times the used processor time."""
        cpu_s = self._cpu_clock() - self._cpu_began
        return min(self._clock() - self._began, MOST_OF_CPU * cpu_s)


class WorkShare:
    """Counts time that was spent on work, and how long the work must rest for it."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without a debt.

        `share` is more than 0 and at most 1; `clock` returns monotonic seconds.
        """
        self._share = share
        self._clock = clock
        self._rested_at = clock()
        """The time at which rest has made up for all work."""

    @property
    def rest_s(self) -> float:
        """The seconds for which the work must rest, to keep within its share."""
        return max(0.0, self._rested_at - self._clock())

    @property
    def debt_s(self) -> float:
        """The seconds that were spent beyond the share."""
        return self.rest_s * self._share

    def spend(self, seconds: float) -> None:
        """Count the seconds of one piece of work that has just ended (`WorkTimer.seconds`)."""
        began = self._clock() - seconds
        self._rested_at = max(self._rested_at, began) + seconds / self._share
