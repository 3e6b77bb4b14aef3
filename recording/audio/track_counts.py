"""Counts the packets of a track, and the effects of the network on them: jitter and bursts of loss.

The jitter is the estimate of RFC 3550, section 6.4.1 and appendix A.8: a running average, with a
gain of 1/16, of the difference between the transit times of consecutive packets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_GAIN: Final = 1 / 16
_KEPT: Final = 1 - _GAIN
_MOST_US: Final = 1_000_000
"""The difference in µs above which the timestamps have jumped, or the network has stalled.

Such a difference is not jitter. RFC 3550 does not have this limit.
"""
_LONGEST: Final = 512
"""The most packets that are processed at once."""
_DECAY: Final = _KEPT ** np.arange(1, _LONGEST + 1)
_WEIGHTS: Final = _GAIN / _DECAY
_HALF_MODULUS: Final = 1 << 31


@dataclass(slots=True)
class NetworkCount:
    """The jitter and the lost packets of a track. All streams of the track are counted together."""

    jitter_total_us: float = 0.0
    """The sum of the jitter estimates after each packet, in µs."""
    jitter_packets: int = 0
    """The number of jitter estimates in `jitter_total_us`."""
    jitter_most_us: float = 0.0
    """The largest jitter estimate, in µs."""
    loss_bursts: int = 0
    """The number of bursts of lost packets. One lost packet between others is a burst too."""
    longest_loss: int = 0
    """The number of packets in the longest burst of lost packets."""

    @property
    def jitter_us(self) -> float:
        """The average of the jitter estimates, in µs; 0 if there are none."""
        return self.jitter_total_us / self.jitter_packets if self.jitter_packets else 0.0


@dataclass(slots=True)
class TrackCount:
    """The packet counts of a track."""

    received: int = 0
    lost: int = 0
    late: int = 0
    unplaced: int = 0
    """The `late` packets that are not in `received`.

    Their sequence numbers fit nowhere into the stream, so they were not written.
    """
    duplicate: int = 0
    malformed: int = 0
    undecoded: int = 0
    withheld: int = 0
    """The packets of which only the fixed RTP header was stored.

    They are of DTMF digits, or their payload type was not negotiated.
    """
    codecs: Counter[str] = field(default_factory=Counter)
    """The packets of each codec, such as `PCMA/8000`."""
    network: NetworkCount = field(default_factory=NetworkCount)

    @property
    def heard(self) -> int:
        """The packets whose audio is on the track, or waits to be written to it."""
        return self.received - self.undecoded - (self.late - self.unplaced)


class Progress(NamedTuple):
    """The packets of a track that are heard and lost up to a certain time."""

    heard: int
    lost: int


class Jitter:
    """The interarrival jitter of one stream, added to the count of its track.

    Packets wait until there are many, because they are then processed faster. Call `flush` before
    the count is read.
    """

    def __init__(self, count: NetworkCount) -> None:
        self._count = count
        self._estimate_us = 0.0
        self._at_us: int | None = None
        self._timestamp = 0
        self._late_us: list[float] = [0]
        """The delays of the waiting packets, after that of the packet before them.

        Only the differences between these delays have a meaning.
        """

    def packet(self, at_us: int, timestamp: int, ticks: int, in_us: int) -> None:
        """Take a packet. The stream's timestamps grow by `ticks` in each `in_us` µs."""
        if self._at_us is not None:
            grown = (timestamp - self._timestamp + _HALF_MODULUS) % (1 << 32) - _HALF_MODULUS
            later_us = at_us - self._at_us - grown * in_us / ticks
            self._wait([self._late_us[-1] + later_us])
        self._at_us, self._timestamp = at_us, timestamp

    def consecutive(self, before_us: int, late_us: list[int], at_us: int, timestamp: int) -> None:
        """Take consecutive packets with these delays in µs, as `packet` would each of them.

        `before_us` is the delay of the packet that was taken last. `at_us` and `timestamp` are
        those of the final packet.
        """
        apart_us = self._late_us[-1] - before_us
        self._wait([late + apart_us for late in late_us] if apart_us else late_us)
        self._at_us, self._timestamp = at_us, timestamp

    def _wait(self, late_us: Iterable[float]) -> None:
        self._late_us += late_us
        if len(self._late_us) > _LONGEST:
            self.flush()

    def flush(self) -> None:
        """Process the waiting packets, and add them to the track's count."""
        delays = np.array(self._late_us, dtype=np.float64)
        for start in range(0, len(delays) - 1, _LONGEST):
            self._process(np.abs(np.diff(delays[start : start + _LONGEST + 1])))
        self._late_us = [0]

    def _process(self, apart_us: NDArray[np.float64]) -> None:
        apart_us = apart_us[apart_us <= _MOST_US]
        packets = len(apart_us)
        if packets:
            sums = np.cumsum(apart_us * _WEIGHTS[:packets])
            estimates = (sums + self._estimate_us) * _DECAY[:packets]
            self._estimate_us = float(estimates[-1])
            count = self._count
            count.jitter_total_us += float(estimates.sum())
            count.jitter_packets += packets
            count.jitter_most_us = max(count.jitter_most_us, float(estimates.max()))


class LossBursts:
    """Divides a stream's lost packets into bursts with consecutive sequence numbers."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._length = 0

    def add(self, numbers: Iterable[int], count: NetworkCount) -> None:
        """Add lost packets by their sequence numbers, lowest first."""
        for number in numbers:
            if self._last is not None and number == self._last + 1:
                self._length += 1
            else:
                self._length = 1
                count.loss_bursts += 1
            self._last = number
            count.longest_loss = max(count.longest_loss, self._length)

    def copy(self) -> LossBursts:
        """Return a copy, to which packets can be added without a change of this object."""
        other = LossBursts()
        other._last, other._length = self._last, self._length
        return other
