"""Estimates the drift of a sender's clock from the smallest delays of its packets.

The *drift* is the rate at which a clock falls behind ours: 0.0001 means 100 parts per million. The
network can only delay a packet. So if the smallest delays of many short times are drawn over time,
the line below all of them shows the drift: it rises if the sender's clock is slow. The lower convex
hull of these points is stored, because no other point can touch such a line. (For the method, see
Zhang, Liu and Xia, "Clock synchronization algorithms for network measurements", INFOCOM 2002.) The
line remains valid in a silence.

All times and delays in this module are in samples of the track.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

MOST_DRIFT: Final = 500e-6
"""The largest drift that is assumed for a sender's clock."""
_LEAST_UNSURE: Final = 10e-6
_WINDOW_S: Final = 600
"""The seconds after which a point of the hull is removed, if more than two points are stored."""
_LEARNT_S: Final = 20
_LEARNT_UNSURE: Final = 100e-6
_PROOF: Final = 5
_SPARSE_PROOF: Final = 3
_SPARSE_PROOF_S: Final = 10
_PER_MS: Final = 1000
_LEVEL_MS: Final = 3
"""If a delay is more than this many ms from the line, the network has changed, not the drift."""
_TYPICAL: Final = 1.5
_UNLIKELY: Final = 9.2
_FULL: Final = 50
_GAIN: Final = 0.2


class Delay(NamedTuple):
    """The smallest delay of the packets of a short time, such as one second.

    `jitter` is the estimated difference between the largest and the smallest possible delay.
    """

    at: int
    least: int
    jitter: float
    packets: int

    @classmethod
    def of(cls, at: int, delays: list[int], moved: int = 0) -> Delay:
        """Return the smallest of `delays` plus `moved`. The delays begin at the time `at`."""
        least = min(delays)
        return cls(at, least + moved, 2 * (sum(delays) / len(delays) - least), len(delays))


class DelayEnvelope:
    """The line below the smallest delays of a stream: its slope is the `drift`.

    `unsure` is the largest probable error of `drift`, up to `MOST_DRIFT`. `jitter` is a
    running average of `Delay.jitter`.
    """

    def __init__(self, rate: int) -> None:
        self.drift = 0.0
        self.unsure = MOST_DRIFT
        self.jitter = 0.0
        self._rate = rate
        self._level = _LEVEL_MS * rate / _PER_MS
        self._packets = 0.0
        self._hull: list[tuple[int, float]] = []
        self._recent: deque[Delay] = deque(maxlen=_PROOF)

    def __bool__(self) -> bool:
        return bool(self._hull)

    @property
    def is_learnt(self) -> bool:
        """True if delays that span 20 seconds or more show the drift to within 100 ppm."""
        if not self._hull or self.unsure > _LEARNT_UNSURE:
            return False
        return self._hull[-1][0] - self._hull[0][0] > _LEARNT_S * self._rate

    def bounds(self, at: int) -> tuple[float, float]:
        """Return the lowest and the highest probable delay of a packet without jitter.

        At least one delay must have been added.
        """
        slow, fast = self.drift - self.unsure, self.drift + self.unsure
        low = high = inf
        for then, least in self._hull:
            after = at - then
            lowest, highest = least + slow * after, least + fast * after
            low = lowest if lowest < low else low  # noqa: FURB136 - once a second of each stream
            high = highest if highest < high else high  # noqa: FURB136
        return low, high

    def probable_excess(self, delay: Delay) -> float:
        """Return by how much the smallest of `delay.packets` delays probably exceeds the line."""
        # After a stall, the packets of the stall arrive at once, and their jitter is too large.
        return (self.jitter if self._hull else delay.jitter) / (delay.packets + 1)

    def largest_excess(self, delay: Delay) -> float:
        """Return by how much the smallest of `delay.packets` delays can exceed the line.

        If jitter is spread evenly, the result is exceeded at most once in 10,000 times.
        """
        return max(self.jitter, delay.jitter) * min(1.2, _UNLIKELY / delay.packets)

    def add(self, delay: Delay) -> None:
        """Add the smallest delay of a short time, which need not be later than those before.

        If a delay is far below the line, or several are far above it, the network or the sender is
        now faster or slower by a constant time. The line then moves with its slope unchanged.
        """
        is_high = False
        if self._hull:
            low, high = self.bounds(delay.at)
            is_high = delay.least > high + self._level
            if delay.least < low - self._level:
                self._shift_line(delay.least - (low + high) / 2)
        gain = min(1.0, delay.packets / _FULL) * _GAIN if self._hull else 1.0
        self.jitter += gain * (delay.jitter - self.jitter)
        self._packets += (_GAIN if self._hull else 1.0) * (delay.packets - self._packets)
        self._recent.append(delay)
        self._append(delay)
        self._fit()
        if is_high:
            self._follow_higher_level(delay.at)

    def shift(self, by: int) -> None:
        """Add `by` to all delays, because the sender's clock stopped for this time."""
        self._shift_line(by)
        moved = [delay._replace(least=delay.least + by) for delay in self._recent]
        self._recent = deque(moved, _PROOF)

    def _shift_line(self, by: float) -> None:
        self._hull = [(at, least + by) for at, least in self._hull]

    def _append(self, delay: Delay) -> None:
        """Add a point to the lower convex hull, and remove the points that are above it now."""
        hull, at, least = self._hull, delay.at, delay.least
        while hull and hull[-1][0] >= at:
            at, least = hull[-1][0], min(least, round(hull.pop()[1]))
        while len(hull) >= 2:
            (first, lower), (second, upper) = hull[-2:]
            if (upper - lower) * (at - first) < (least - lower) * (second - first):
                break
            hull.pop()
        hull.append((at, least))
        while len(hull) > 2 and at - hull[0][0] > _WINDOW_S * self._rate:
            del hull[0]

    def _fit(self) -> None:
        """Set `unsure`, and `drift` from the slope of the hull's edge in the middle of the time."""
        hull = self._hull
        span = hull[-1][0] - hull[0][0]
        if not span:
            self.drift, self.unsure = 0.0, MOST_DRIFT
            return
        noise = _TYPICAL * self.jitter / max(1.0, self._packets) + self._rate / 4 / _PER_MS
        self.unsure = min(MOST_DRIFT, _LEAST_UNSURE + 2 * noise / span)
        middle = hull[0][0] + span / 2
        slope = next((y - x) / (b - a) for (a, x), (b, y) in pairwise(hull) if b >= middle)
        known = 1 - self.unsure / MOST_DRIFT
        self.drift = known * max(-MOST_DRIFT, min(MOST_DRIFT, slope))

    def _follow_higher_level(self, at: int) -> None:
        """Move the line up if all recent delays are far above it."""
        recent = list(self._recent)
        if len(recent) < _PROOF:
            recent = recent[-_SPARSE_PROOF:]
            if len(recent) < _SPARSE_PROOF or at - recent[0].at < _SPARSE_PROOF_S * self._rate:
                return
        slow = self.drift - self.unsure
        least = min(delay.least + slow * (at - delay.at) for delay in recent)
        proof = Delay(at, round(least), 0.0, sum(delay.packets for delay in recent))
        _, high = self.bounds(at)
        if least - self.largest_excess(proof) > high + self._level:
            self._shift_line(least - self.probable_excess(proof) - high)
