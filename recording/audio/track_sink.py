"""The interface through which a stream writes to its track, and the track's packet counts."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from recording.audio.codecs import Samples
from recording.audio.network_counts import NetworkCount
from recording.audio.stream_clock import Packet

HEADER: Final = struct.Struct("!BBHII")
"""The fields of the fixed RTP header (RFC 3550, section 5.1).

The five fields are: flags; marker and payload type; sequence number; timestamp; SSRC.
"""


class WidebandError(Exception):
    """A packet of a wideband codec was received, but the timeline has 8000 samples a second."""


@dataclass(slots=True)
class TrackCount:
    """The packet counts of a track: how many packets were received, lost, late and so on."""

    received: int = 0
    lost: int = 0
    late: int = 0
    unplaced: int = 0
    """The number of `late` packets that are not in `received`.

    Their sequence numbers fit nowhere into the stream, so they were not written.
    """
    duplicate: int = 0
    malformed: int = 0
    undecoded: int = 0
    withheld: int = 0
    """The number of packets of which only the fixed RTP header was stored.

    These are packets of DTMF digits, and packets whose payload type was not negotiated.
    """
    codecs: Counter[str] = field(default_factory=Counter)
    """The number of packets of each codec. A codec is named, for example, `PCMA/8000`."""
    network: NetworkCount = field(default_factory=NetworkCount)

    @property
    def heard(self) -> int:
        """The number of packets whose audio is on the track, or waits to be written to it."""
        return self.received - self.undecoded - (self.late - self.unplaced)


class Progress(NamedTuple):
    """Two counts of a track up to a certain time: the packets that are heard, and the lost ones."""

    heard: int
    lost: int


class TrackSink(Protocol):
    """The interface of the track to which a stream writes its samples.

    A position is a number of samples since the recording's start. The sample at a position is
    *final* when it can no longer change.
    """

    rate: int
    counted: TrackCount

    def write(self, position: int, samples: Samples) -> bool:
        """Write samples that begin at `position`.

        Return False if no sample was written, because the samples at these positions can no longer
        change.
        """

    def begin_noise(self, position: int, noise: bytes, clock: int) -> None:
        """Fill the silence that begins at `position` with comfort noise, up to the next audio.

        `noise` is the description of the noise (an RFC 3389 payload). `clock` is the rate in Hz at
        which the sender sampled the noise.
        """

    def keep_undecoded(self, packet: Packet, position: int) -> bool:
        """Store a packet that cannot be decoded, with the position of its audio.

        Return False if the packet is not stored because it came too late: all samples of its audio
        can no longer change.
        """
