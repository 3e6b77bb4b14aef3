"""The interface of a track for its streams, and the packet counts that both update."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

from recording.audio.codecs import Samples
from recording.audio.stream_clock import Packet

HEADER: Final = struct.Struct("!BBHII")
"""The fixed header: flags, marker and payload type, sequence, timestamp, SSRC."""


class WidebandError(Exception):
    """A wideband packet was received while the timeline works at 8000 samples a second."""


@dataclass(slots=True)
class TrackCount:
    """The numbers of a track's packets, by what became of them."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    malformed: int = 0
    undecoded: int = 0
    withheld: int = 0
    """Packets without RTP payload: key presses, and payload types that were not negotiated.

    Only their fixed header is stored.
    """
    codecs: Counter[str] = field(default_factory=Counter)
    """Packets by codec, such as `PCMA/8000`."""


class TrackSink(Protocol):
    """The track to which a stream writes its samples."""

    rate: int
    counted: TrackCount

    def write(self, position: int, samples: Samples) -> bool:
        """Write samples at a position; return False if all of them would be final already."""

    def begin_noise(self, position: int, noise: bytes, clock: int) -> None:
        """Fill the silence from here on with noise, which `noise` describes (RFC 3389 payload)."""

    def keep_undecoded(self, packet: Packet, position: int) -> bool:
        """Keep a packet that cannot be decoded, with the position of its audio.

        Returns False if all of its audio would be final already.
        """
