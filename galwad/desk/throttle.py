"""Sign-in throttling: failures counted per account and per address, in a sliding window.

In memory: a restart forgets, which an attacker cannot cause. The account's limit holds even
from many addresses, the address's over many accounts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

WINDOW_S = 900.0
PER_ACCOUNT = 10
PER_ADDRESS = 30
_MOST_KEYS = 10_000


class Throttle:
    """Says how long a sign-in must wait, in whole seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, str], deque[float]] = {}

    def wait(self, account: str, address: str) -> int:
        """Seconds until another try is allowed; 0 when it is now."""
        now = self._clock()
        longest = 0.0
        for key, limit in _limits(account, address):
            times = self._failures.get(key)
            if times is None:
                continue
            while times and times[0] <= now - WINDOW_S:
                times.popleft()
            if len(times) >= limit:
                longest = max(longest, times[-limit] + WINDOW_S - now)
        return int(longest) + 1 if longest else 0

    def failed(self, account: str, address: str) -> None:
        """Count one failure, or a try that is not known to be right yet."""
        now = self._clock()
        if len(self._failures) > _MOST_KEYS:
            self._forget(now)
        for key, limit in _limits(account, address):
            self._failures.setdefault(key, deque(maxlen=limit)).append(now)

    def succeeded(self, account: str, address: str) -> None:
        """The try was right: it counts for nothing, and the account's failures are forgotten."""
        self._failures.pop(("account", account), None)
        times = self._failures.get(("address", address))
        if times:
            times.pop()
            if not times:
                del self._failures["address", address]

    def _forget(self, now: float) -> None:
        old = [key for key, times in self._failures.items() if times[-1] <= now - WINDOW_S]
        for key in old or list(self._failures)[: _MOST_KEYS // 2]:
            del self._failures[key]


def _limits(account: str, address: str) -> Iterable[tuple[tuple[str, str], int]]:
    return ((("account", account), PER_ACCOUNT), (("address", address), PER_ADDRESS))
