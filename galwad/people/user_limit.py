"""Limits for one user, who could read out a directory or fill a disk by many requests."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class UserRate:
    """The rate at which a user may do something: `most` times in `window_s` seconds."""

    most: int
    window_s: float


SEARCHES: Final = UserRate(20, 300.0)
"""The searches for callers by a text."""
DRAFTS: Final = UserRate(120, 60.0)
"""The saves of drafts. The page saves a draft at most once a second."""

DIALS: Final = UserRate(30, 60.0)
ACTS: Final = UserRate(120, 60.0)
"""The acts of a user on the page, such as to hold and to transfer calls."""

CODES: Final = UserRate(10, 600.0)
"""The codes of command lines that a user enters."""


class UserLimit:
    """Counts the requests of each user. `clock` returns the monotonic time in seconds."""

    def __init__(self, rate: UserRate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def take(self, user: str) -> float:
        """Count an allowed request and return 0, or return the seconds that the user must wait."""
        rate, now = self._rate, self._clock()
        times = self._times.setdefault(user, deque(maxlen=rate.most))
        if len(times) == rate.most and now - times[0] < rate.window_s:
            return rate.window_s - (now - times[0])
        times.append(now)
        return 0.0
