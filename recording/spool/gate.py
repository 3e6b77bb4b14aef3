"""The gate in front of a call's spool. The gate stores or drops each packet as it arrives."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.errors import RecordingError
from recording.spool.writer import SpoolWriter

FAILURES = (RecordingError, OSError)
"""The errors that a spool raises when data cannot be written to the disk or runtime folder."""

Tap = Callable[[int, bytes, float, bool], None]
"""The function that the media relay calls for each packet of a recorded leg.

Its arguments are `(track, data, arrival_mono, withheld)`. `track` is 0 for a packet from the
caller and 1 for a packet from the advisor. `data` is the datagram. `arrival_mono` is the packet's
arrival in monotonic seconds. `withheld` is True if the RTP payload must not be stored.
"""
_HEADER_BYTES = 12


@dataclass(slots=True, eq=False)
class RecordingGate:
    """Decides for each packet whether it is stored. The recorder opens and shuts the gate.

    The object has few attributes, because it is seldom in the processor's caches when a packet
    arrives: with few attributes, little memory must be read.
    """

    started: float
    """The time in monotonic seconds at which the spool started."""
    on_failure: Callable[[RecordingError | OSError], None]
    """The function that receives the error when packets cannot be written to the disk."""
    is_open: bool = False
    open_from_us: int = 0
    """The time from which packets may be stored, in microseconds since the spool's start.

    A packet that arrived before this time is dropped, even if `store` is called later.
    """
    writer: SpoolWriter | None = None
    stored: int = 0
    """The number of packets of both tracks that were stored since the recorder was created."""
    dropped: int = 0

    def store(self, track: int, data: bytes, arrival_mono: float, withheld: bool) -> None:  # noqa: FBT001 - the relay's hot path: keywords cost a packet 50 ns
        """Store a packet, or drop it if the gate is shut.

        `withheld` is True if the RTP payload must not be stored, for example because the packet
        contains a DTMF digit. Then only the packet's fixed RTP header is stored. The header shows
        that the packet arrived, so that the packet is not counted as lost.
        """
        at_us = int((arrival_mono - self.started) * 1_000_000 + 0.5)
        writer = self.writer
        if not self.is_open or at_us < self.open_from_us or writer is None:
            self.dropped += 1
            return
        if withheld:
            data = data[:_HEADER_BYTES]
        self.stored += 1
        try:
            writer.packet(track, at_us, data)
        except FAILURES as error:
            self.on_failure(error)
