"""A limit on the share of time that one kind of work may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LONGEST_S: Final = 0.05
"""The longest time in seconds that counts as one piece of work.

If one piece of work takes longer, the machine or its disk stood still meanwhile. That is no reason
for a long rest, in which messages would wait or be dropped.
"""


class WorkShare:
    """Counts time that was spent on work, and how long the work must rest for it."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without a debt.

        Args:
            share: The part of the time that the work may take, more than 0 and at most 1.
            clock: A function that returns the time in monotonic seconds.
        """
        self._share = share
        self._clock = clock
        self._rested_at = clock()
        """The time at which rest has made up for all work."""

    @property
    def rest_s(self) -> float:
        """The time in seconds for which the work must rest, to keep within its share."""
        return max(0.0, self._rested_at - self._clock())

    @property
    def debt_s(self) -> float:
        """The time in seconds that was spent beyond the share."""
        return self.rest_s * self._share

    def spend(self, seconds: float) -> None:
        """Count time that was just spent on one piece of work, at most `LONGEST_S`."""
        seconds = min(seconds, LONGEST_S)
        began = self._clock() - seconds
        self._rested_at = max(self._rested_at, began) + seconds / self._share
