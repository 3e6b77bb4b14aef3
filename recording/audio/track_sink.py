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
"""Flags, marker and payload type, sequence number, timestamp, SSRC (RFC 3550, section 5.1)."""


class WidebandError(Exception):
    """A packet of a wideband codec was received, but the timeline has 8000 samples a second."""


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


class TrackSink(Protocol):
    """The track to which a stream writes its samples.

    A position is a number of samples since the recording's start. The sample at a position is
    *final* when it can no longer change.
    """

    rate: int
    counted: TrackCount

    def write(self, position: int, samples: Samples) -> bool:
        """Write samples at `position`; return False if all these positions are final."""

    def begin_noise(self, position: int, noise: bytes, clock: int) -> None:
        """Fill the silence at `position` with noise (RFC 3389, `clock` Hz) until the next audio."""

    def keep_undecoded(self, packet: Packet, position: int) -> bool:
        """Store an undecodable packet with the position of its audio; False if that is final."""
