"""The effects of the network on a track: jitter, bursts of lost packets, and the speech quality.

The jitter is the estimate of RFC 3550, section 6.4.1 and appendix A.8: a running average, with a
gain of 1/16, of the difference between the transit times of consecutive packets.

The speech quality is how a listener would rate a party's speech, from its codec and its lost
packets. It is estimated by the E-model (ITU-T G.107, 06/2015) with the default values of its Table
3, so only three values are set: the one-way delay, the codec and the lost packets. The result is a
mean opinion score (MOS) from 1 (bad) to 4.5 (best), not a measurement of the sound.

These values are assumed, because a recorder cannot know them:

- The one-way delay is 100 ms, and echo is cancelled. Up to this delay, the model gives the same
  score (section 7.4).
- The listener's jitter buffer absorbs the jitter, so only lost packets matter.
- The listener's phone conceals lost packets.

Codecs: the impairment of G.711 (A-law and mu-law) is 0, and its robustness to loss is 25.1 with
concealment (G.113, Appendix I). The values of G.729 and GSM are from the same appendix. The
wideband model (G.107.1) rates G.722: it starts at 129, and the impairment of G.722 is 13 (G.113,
Appendix IV). Its result is divided by 1.29 for the common scale. G.113 has no values for Opus and
L16: they are rated as G.711. The robustness of G.722 is also assumed to be that of G.711. Other
codecs have no estimate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log2
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recording.audio.track_counts import NetworkFacts, TrackFacts

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
BEST_RATING: Final = 93.2
"""The rating R of a call without any impairment (G.107, default values)."""
_WIDE_RATING: Final = 129.0
_MOST_IMPAIRED: Final = 95.0
ONE_WAY_DELAY_MS: Final = 100.0
"""The assumed time in ms from one party's mouth to the other party's ear."""


class CodecQuality(NamedTuple):
    """A codec's equipment impairment `Ie` and packet-loss robustness `Bpl` in the E-model.

    `wide` means that the impairment is on the scale of the wideband model (G.107.1).
    """

    impairment: float
    robustness: float
    wide: bool = False


_G711: Final = CodecQuality(0, 25.1)
CODECS: Final = {
    "PCMA": _G711,
    "PCMU": _G711,
    "L16": _G711,
    "OPUS": _G711,
    "G722": CodecQuality(13, 25.1, wide=True),
    "G729": CodecQuality(11, 19),
    "GSM": CodecQuality(20, 43),
}


def delay_impairment(delay_ms: float) -> float:
    """Return the impairment factor `Idd` of a one-way delay (G.107, equations 7-27 and 7-28)."""
    if delay_ms <= 100:
        return 0.0
    doublings = log2(delay_ms / 100)
    first: float = (1 + doublings**6) ** (1 / 6)
    second: float = 3 * (1 + (doublings / 3) ** 6) ** (1 / 6)
    return 25 * (first - second + 2)


def mos_of_rating(rating: float) -> float:
    """Return the mean opinion score of a rating R (G.107, Annex B), from 1 to 4.5.

    The formula of Annex B falls below 1 for ratings between 0 and 6.5. The score is then 1.
    """
    if rating <= 0:
        return 1.0
    if rating >= 100:
        return 4.5
    score = 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6
    return max(1.0, score)


def rating(
    codec: CodecQuality, loss: float, burst_ratio: float = 1.0, delay_ms: float = ONE_WAY_DELAY_MS
) -> float:
    """Return the rating R of a party's speech, on the scale of G.107 (93.2 is the best).

    `loss` is the share of lost packets, from 0 to 1. `burst_ratio` is the average length of the
    bursts of lost packets, divided by that of random losses; at least 1.
    """
    percent = 100 * min(1.0, max(0.0, loss))
    most = max(_MOST_IMPAIRED, codec.impairment)
    suffered = percent / (percent / max(1.0, burst_ratio) + codec.robustness)
    impairment = codec.impairment + (most - codec.impairment) * suffered
    if codec.wide:
        return (_WIDE_RATING - impairment) / _WIDE_RATING * 100 - delay_impairment(delay_ms)
    return BEST_RATING - delay_impairment(delay_ms) - impairment


def estimated_mos(codec_name: str, loss: float, burst_ratio: float = 1.0) -> float | None:
    """Return the estimated mean opinion score, from 1 to 4.5; None if the codec has no values.

    `codec_name` is the name in SDP, such as `PCMA`. For the other arguments, see `rating`.
    """
    codec = CODECS.get(codec_name.upper())
    return None if codec is None else mos_of_rating(rating(codec, loss, burst_ratio))


def network_facts(count: TrackFacts, network: NetworkCount) -> NetworkFacts:
    """Return the effects of the network on the packets of one track."""
    return NetworkFacts(
        network.loss_bursts,
        network.longest_loss,
        round(network.jitter_us),
        round(network.jitter_most_us),
        _mos(count, network.loss_bursts),
    )


def _mos(count: TrackFacts, bursts: int) -> float | None:
    """Return the estimated mean opinion score of a track, to two decimals.

    The codec with the most packets is used. A packet that arrived too late to be recorded counts as
    lost. The bursts are compared with those of random losses: with a share `p` of lost packets,
    random bursts have 1 / (1 - p) packets on average.
    """
    sent = count.received + count.withheld + count.lost
    if not count.codecs or not sent:
        return None
    name = max(count.codecs, key=count.codecs.__getitem__).partition("/")[0]
    loss = min(1.0, (count.lost + count.late) / sent)
    burst_ratio = count.lost / bursts * (1 - count.lost / sent) if bursts else 1.0
    mos = estimated_mos(name, loss, burst_ratio)
    return None if mos is None else round(mos, 2)


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
        """The delay of the packet before the waiting packets, then the delays of these packets.

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
        """Take consecutive packets with these delays in µs, with the effect of `packet` for each.

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
