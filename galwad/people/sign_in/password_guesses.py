"""Counts wrong passwords, so that somebody learns of guesses before one is right.

This module limits nothing: `galwad.people.sign_in.throttle` does. The counts are stored in memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 3600.0
"""The seconds for which a wrong password counts."""
ALARM_AT: Final = {"account": 8, "network": 30, "all": 200}
"""The number of wrong passwords within `WINDOW_S` at which an alarm is raised.

They are counted for one account, from one network, and for all accounts together.
"""
_MOST_COUNTS: Final = 10_000
_Key = tuple[str, str]


class PasswordGuesses:
    """Counts wrong passwords. `clock` returns the monotonic time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[_Key, deque[float]] = OrderedDict()
        """The times of the newest wrong passwords; the count that grew last is at the end."""
        self._alarmed: OrderedDict[_Key, float] = OrderedDict()

    def wrong(self, account: str, network: str) -> list[str]:
        """Count a wrong password; return what an alarm must be raised about now.

        The result has the names of the counts, as in `ALARM_AT`, that have reached their number.
        Each alarm is raised at most once in `WINDOW_S`.
        """
        keys = (("account", account), ("network", network), ("all", ""))
        return [key[0] for key in keys if self._counts_enough(key)]

    def _counts_enough(self, key: _Key) -> bool:
        now, most = self._clock(), ALARM_AT[key[0]]
        times = self._wrong.setdefault(key, deque(maxlen=most))
        times.append(now)
        _keep(self._wrong, key)
        enough = len(times) == most and times[0] > now - WINDOW_S
        if not enough or now - self._alarmed.get(key, float("-inf")) < WINDOW_S:
            return False
        self._alarmed[key] = now
        _keep(self._alarmed, key)
        return True


def _keep(kept: OrderedDict[_Key, deque[float]] | OrderedDict[_Key, float], key: _Key) -> None:
    """Put a key to the end, and remove the first key if there are too many."""
    kept.move_to_end(key)
    if len(kept) > _MOST_COUNTS:
        kept.popitem(last=False)
