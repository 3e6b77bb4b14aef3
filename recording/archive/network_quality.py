"""The quality of the network for each party of a call: the facts for the manifest."""

from __future__ import annotations

from recording.archive.manifest import NetworkFacts
from recording.archive.speech_quality import estimated_mos
from recording.audio.track_sink import TrackCount


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
