"""The packets of each track in numbers, as the manifest has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple


@dataclass
class NetworkFacts:
    """The effects of the network on the packets of one channel.

    A burst is one or more lost packets with consecutive sequence numbers. `longest_loss` is the
    number of packets in the longest burst. `jitter_us` is the average interarrival jitter, and
    `jitter_most_us` the largest, in µs (RFC 3550, appendix A.8). `mos` is an estimate from 1 to 4.5
    (`recording.audio.network_quality`); None if no packet arrived or the codec has no estimate.
    """

    loss_bursts: int
    longest_loss: int
    jitter_us: int
    jitter_most_us: int
    mos: float | None


@dataclass
class ArrivedPackets:
    """The counts of RTP packets that the index has too. `channel` is "caller" or "advisor"."""

    channel: str
    received: int
    lost: int
    """Never arrived."""
    late: int
    """Arrived too late to be recorded."""
    duplicate: int


@dataclass
class TrackFacts(ArrivedPackets):
    """The numbers of RTP packets of one channel."""

    codecs: dict[str, int]
    """The packets of each codec."""
    malformed: int
    """Not valid RTP."""
    undecoded: int
    """Could not be decoded. The recording is silent in their place."""
    withheld: int = 0
    """Only their RTP header was stored: DTMF digits, and payload types not negotiated."""
    network: NetworkFacts | None = None
    """None in manifests of older software."""
    unplaced: int = 0
    """The `late` packets that `received` does not count: their sequence numbers fit nowhere."""

    @property
    def heard(self) -> int:
        """The number of received packets, except those that are undecoded or late."""
        return self.received - self.undecoded - (self.late - self.unplaced)


def no_track_packets(channel: str) -> TrackFacts:
    """Return the counts of a channel without packets."""
    return TrackFacts(
        channel=channel,
        received=0,
        lost=0,
        late=0,
        duplicate=0,
        codecs=Counter(),
        malformed=0,
        undecoded=0,
    )


class Progress(NamedTuple):
    """The numbers of a track's packets that are heard and that are lost, up to a certain time."""

    heard: int
    lost: int
