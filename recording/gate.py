"""The gate in front of a call's spool: each packet passes it or is dropped, at once."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.errors import RecordingError
from recording.spool_writer import SpoolWriter

FAILURES = (RecordingError, OSError)
"""What a spool raises when the disk or the runtime folder refuses."""

Tap = Callable[[int, bytes, float, bool], None]
"""`tap(track, data, arrival_mono, withheld)`: what the relay calls for each packet."""
_HEADER_BYTES = 12


@dataclass(slots=True, eq=False)
class Gate:
    """Decides, packet by packet, whether media is stored. The recorder moves it.

    One small object, since each packet finds it out of the processor's caches.
    """

    started: float
    """The spool's start, monotonic seconds."""
    on_failure: Callable[[RecordingError | OSError], None]
    """Told that the disk refused what had gathered."""
    is_open: bool = False
    open_from_us: int = 0
    """What arrived earlier is dropped, however late it comes."""
    writer: SpoolWriter | None = None
    kept: int = 0
    """Packets since the call's start, both tracks."""
    dropped: int = 0

    def store(self, track: int, data: bytes, arrival_mono: float, withheld: bool) -> None:  # noqa: FBT001 - the relay's hot path: keywords cost a packet 50 ns
        """Keep a packet, or drop it.

        Of one that is withheld (a telephone-event) the fixed header is kept at most: that it was
        there, so that it is not taken for lost.
        """
        at_us = int((arrival_mono - self.started) * 1_000_000 + 0.5)
        writer = self.writer
        if not self.is_open or at_us < self.open_from_us or writer is None:
            self.dropped += 1
            return
        if withheld:
            data = data[:_HEADER_BYTES]
        self.kept += 1
        try:
            writer.packet(track, at_us, data)
        except FAILURES as error:
            self.on_failure(error)
