"""Percentiles of many millions of times, in memory that does not grow with their number."""

from collections.abc import Sequence

import numpy as np

BIN_MS = 0.05
LONGEST_MS = 60_000.0
"""Longer times count as this long in percentiles; the maximum is exact."""
WAITING = 50_000
"""The number of times that are counted in one step."""


class Histogram:
    """Counts times in ms, in steps of `BIN_MS`."""

    def __init__(self) -> None:
        """Start with no times."""
        self.count = 0
        self.longest = 0.0
        self._bins = np.zeros(int(LONGEST_MS / BIN_MS) + 1, np.int64)
        self._waiting: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        self._counted = 0

    def add(self, times_ms: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        """Count these times in ms; a negative time, from a clock that was set back, counts as 0."""
        times = np.maximum(np.asarray(times_ms, np.float64), 0.0)
        if not len(times):
            return
        self.count += len(times)
        self.longest = max(self.longest, float(times.max()))
        self._waiting.append(times)
        if self.count - self._counted >= WAITING:
            self._settle()

    def percentile(self, percent: float) -> float:
        """Return the smallest time in ms that at least `percent` of all times do not exceed.

        It is rounded up to a whole number of steps, but is never longer than the longest time. If
        there are no times, it is 0.
        """
        self._settle()
        if not self.count:
            return 0.0
        rank = max(int(np.ceil(self.count * percent / 100)), 1)
        step = int(np.searchsorted(np.cumsum(self._bins), rank))
        return min(step * BIN_MS, self.longest)

    def figures(self, name: str, percents: Sequence[float]) -> dict[str, float | None]:
        """Return these percentiles and the longest time in ms, as `NAME_p50` and so on.

        If there are no times, each is None: to be never measured is not to be fast.
        """
        found = {f"{name}_p{percent:g}": self.percentile(percent) for percent in percents}
        found[f"{name}_max"] = self.longest
        return {key: round(value, 2) if self.count else None for key, value in found.items()}

    def _settle(self) -> None:
        if self._waiting:
            times = np.concatenate(self._waiting)
            steps = np.minimum(np.ceil(times / BIN_MS - 1e-6), len(self._bins) - 1).astype(np.int64)
            self._bins += np.bincount(steps, minlength=len(self._bins))
            self._waiting.clear()
            self._counted = self.count
