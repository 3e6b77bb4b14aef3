"""A limit on how often something may happen: `Window` counts the events of each key."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

MOST_KEYS: Final = 10_000
_NEVER: Final = float("-inf")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate at which something may happen: `most` times in `window_s` seconds."""

    most: int
    window_s: float


class Window(Generic[Key]):
    """Counts events of each key. It is full for a key after `rate.most` events in `rate.window_s`.

    It keeps the keys with the newest events, at most `MOST_KEYS`. `clock` returns the monotonic
    time in seconds.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._times: OrderedDict[Key, deque[float]] = OrderedDict()
        """The times of the newest events; the key with the newest event is at the end."""
        self._reported: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, key: Key) -> None:
        """Count an event of a key now."""
        now = self._clock()
        # More than `most` are kept, because the newest ones may be removed again.
        times = self._times.setdefault(key, deque(maxlen=2 * self.rate.most))
        times.append(now)
        self._times.move_to_end(key)
        oldest = now - self.rate.window_s
        while len(self._times) > MOST_KEYS or next(iter(self._times.values()))[-1] <= oldest:
            self._times.popitem(last=False)

    def take(self, key: Key) -> float:
        """Count an event and return 0. If the window is full, only return the seconds to wait."""
        wait = self.wait(key)
        if wait <= 0:
            self.add(key)
        return max(wait, 0.0)

    def wait(self, key: Key) -> float:
        """Return the seconds until the window is not full; 0 or less if it is not full now."""
        times = self._times.get(key, ())
        if len(times) < self.rate.most:
            return 0.0
        return times[-self.rate.most] + self.rate.window_s - self._clock()

    def newest(self, key: Key) -> float:
        """Return the time of the newest event; minus infinity if there is none."""
        times = self._times.get(key)
        return times[-1] if times else _NEVER

    def remove_newest(self, key: Key) -> None:
        """Remove the newest event of a key, if there is one."""
        times = self._times.get(key)
        if times:
            times.pop()
            if not times:
                del self._times[key]

    def forget(self, key: Key) -> None:
        """Remove all events of a key."""
        self._times.pop(key, None)

    def report_due(self, key: Key) -> bool:
        """Return whether to report a full window now: at most once in `window_s` for each key."""
        now = self._clock()
        if self.wait(key) <= 0 or now - self._reported.get(key, _NEVER) < self.rate.window_s:
            return False
        self._reported[key] = now
        self._reported.move_to_end(key)
        if len(self._reported) > MOST_KEYS:
            self._reported.popitem(last=False)
        return True
