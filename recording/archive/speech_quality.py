"""Estimates how a listener would rate a party's speech, from its codec and its lost packets.

This is the E-model (ITU-T G.107, 06/2015) with the default values of its Table 3, so only three
values change: the one-way delay, the codec and the lost packets. The result is a mean opinion score
(MOS) from 1 (bad) to 4.5 (best). It is an estimate for planning, not a measurement of the sound.

These values are assumed, because a recorder cannot know them:

- The one-way delay is 100 ms, and echo is cancelled. Up to this delay, the model gives the same
  score (section 7.4).
- The listener's jitter buffer absorbs the jitter, so only lost packets matter.
- The listener's phone conceals lost packets.

Codecs: the impairment of G.711 (A-law and mu-law) is 0, and its robustness to loss is 25.1 with
concealment (G.113, Appendix I). G.729 and GSM are from the same appendix. For G.722, the wideband
model (G.107.1) starts at a rating of 129 with an impairment of 13 (G.113, Appendix IV); its result
is divided by 1.29 for the common scale. G.113 has no values for Opus and L16: they are rated as
G.711. The robustness of G.722 is also assumed to be that of G.711. Other codecs have no estimate.
"""

from __future__ import annotations

from math import log2
from typing import Final, NamedTuple

from recording.archive.manifest import NetworkFacts
from recording.audio.track_counts import TrackCount

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


def network_facts(count: TrackCount) -> NetworkFacts:
    """Return the effects of the network on the packets of one track."""
    network = count.network
    return NetworkFacts(
        network.loss_bursts,
        network.longest_loss,
        round(network.jitter_us),
        round(network.jitter_most_us),
        _mos(count),
    )


def _mos(count: TrackCount) -> float | None:
    """Return the estimated mean opinion score of a track, to two decimals.

    The codec with the most packets is used. A packet that arrived too late to be recorded counts as
    lost. The bursts are compared with those of random losses: with a share `p` of lost packets,
    random bursts have 1 / (1 - p) packets on average.
    """
    sent = count.received + count.withheld + count.lost
    if not count.codecs or not sent:
        return None
    name = count.codecs.most_common(1)[0][0].partition("/")[0]
    loss = min(1.0, (count.lost + count.late) / sent)
    bursts = count.network.loss_bursts
    burst_ratio = count.lost / bursts * (1 - count.lost / sent) if bursts else 1.0
    mos = estimated_mos(name, loss, burst_ratio)
    return None if mos is None else round(mos, 2)
