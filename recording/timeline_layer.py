"""What a stream sees of the track on which it is laid, and what both count."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

from recording.codecs import Samples
from recording.timeline_clock import Packet

HEADER: Final = struct.Struct("!BBHII")
"""The fixed header: flags, marker and payload type, sequence, timestamp, SSRC."""


class WidebandError(Exception):
    """A wideband packet came while 8000 samples a second are made."""


@dataclass(slots=True)
class TrackCount:
    """What became of a track's packets."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    malformed: int = 0
    undecoded: int = 0
    withheld: int = 0
    """Without a payload: of a key press its number in the stream is kept, and no more."""
    codecs: Counter[str] = field(default_factory=Counter)
    """Packets by codec, such as `PCMA/8000`."""


class Layer(Protocol):
    """The track on which a stream lays its samples."""

    rate: int
    counted: TrackCount

    def put(self, position: int, samples: Samples) -> bool:
        """False when the position is final already."""

    def comfort(self, position: int, noise: bytes, clock: int) -> None:
        """From here on the silence is this noise, told as RFC 3389 would."""

    def refuse(self, packet: Packet, position: int) -> bool:
        """Nobody here can decode this one, whose sound would lie there; False as `put` says it."""
