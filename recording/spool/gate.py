"""The gate in front of a call's spool: stores or drops each packet as it arrives."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.errors import RecordingError
from recording.spool.writer import SpoolWriter

FAILURES = (RecordingError, OSError)
"""The errors that a spool raises when the disk or the runtime folder refuses."""

Tap = Callable[[int, bytes, float, bool], None]
"""`tap(track, data, arrival_mono, withheld)`: the function that the relay calls for each packet."""
_HEADER_BYTES = 12


@dataclass(slots=True, eq=False)
class RecordingGate:
    """Decides, packet by packet, whether media is stored. The recorder opens and shuts it.

    The object is small because it is seldom in the processor's caches when a packet arrives.
    """

    started: float
    """The spool's start, in monotonic seconds."""
    on_failure: Callable[[RecordingError | OSError], None]
    """Receives the error when the disk refuses the packets that have gathered."""
    is_open: bool = False
    open_from_us: int = 0
    """Packets that arrived before this offset are dropped, however late the relay passes them on.
    """
    writer: SpoolWriter | None = None
    stored: int = 0
    """Packets stored since the recorder was made, both tracks."""
    dropped: int = 0

    def store(self, track: int, data: bytes, arrival_mono: float, withheld: bool) -> None:  # noqa: FBT001 - the relay's hot path: keywords cost a packet 50 ns
        """Store a packet, or drop it.

        Of a withheld packet (a telephone-event) only the fixed RTP header is stored. It shows that
        the packet arrived, so that it does not count as lost.
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
