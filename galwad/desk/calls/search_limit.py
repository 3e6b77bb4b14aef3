"""The limit for searches by a text: no user can read a directory by many searches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

MOST: Final = 20
"""The most searches of one user in `WINDOW_S` seconds."""
WINDOW_S: Final = 300.0


class SearchLimit:
    """Counts the searches of each user. `clock` returns the monotonic time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def take(self, user: str) -> float:
        """Count a search of a user; return for how many seconds the user must wait, 0 if allowed.

        A search that is not allowed does not count.
        """
        now = self._clock()
        times = self._times.setdefault(user, deque(maxlen=MOST))
        if len(times) == MOST and now - times[0] < WINDOW_S:
            return WINDOW_S - (now - times[0])
        times.append(now)
        return 0.0
