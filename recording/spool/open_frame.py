"""The open media frame: the packets in memory that are not encrypted and written yet.

The packets are appended to one `bytearray`, which already has the format of a media frame's
plaintext. This is faster than a list: the packets of one second would be a hundred objects that are
scattered in memory.
"""

from dataclasses import dataclass, field

from recording.spool.format import MAX_MEDIA, PACKET, unpack_packets

_MAX_SPAN_US = 0xFFFFFFFF


@dataclass(slots=True)
class UnpublishedFrame:
    """An encrypted media frame whose key is still in memory and in the runtime folder.

    The writer will either publish the key (write it into the spool file) or destroy the key.

    `span` has the arrival times of the earliest and the latest packet, in µs since the spool's
    start. `offset` is the position of the frame in the file, in bytes. `size` is the frame's length
    in bytes.
    """

    index: int
    key: bytearray
    span: tuple[int, int]
    offset: int
    size: int
    published: int = 0
    """The number of times that the frame's key was written into the spool file.

    Each key is written twice. After the first write, the frame can no longer be erased. After the
    second write, the key is overwritten in memory and in the runtime folder.
    """
    ticked_us: int | None = None
    """The time of the first tick after the frame was written, in µs; None before this tick."""


@dataclass(slots=True, eq=False)
class OpenFrame:
    """The plaintext of the next media frame. Packets are added until the frame is encrypted."""

    first_us: int = 0
    """The arrival time of the first packet, in µs since the spool's start.

    The packets' times in `packed` are relative to this time.
    """
    last_us: int = 0
    packed: bytearray = field(default_factory=bytearray)

    def takes(self, at_us: int) -> bool:
        """Return whether the frame can take a packet that arrived at `at_us`.

        `at_us` is in µs since the spool's start. Return False if the frame is full, or if the
        packet arrived before the frame's first packet. The caller must then write the frame to the
        spool and empty it.
        """
        packed = len(self.packed)
        return not packed or (packed <= MAX_MEDIA and 0 <= at_us - self.first_us <= _MAX_SPAN_US)

    def add(self, track: int, at_us: int, data: bytes) -> None:
        """Append a packet. Call this method only if `takes` returned True for the packet."""
        packed = self.packed
        if not packed:
            self.first_us = self.last_us = at_us
        elif at_us > self.last_us:
            self.last_us = at_us
        packed += PACKET.pack(at_us - self.first_us, track, len(data))
        packed += data

    @property
    def span(self) -> tuple[int, int]:
        """The arrival times of the earliest and latest packet, in µs since the spool's start."""
        return self.first_us, self.last_us

    def clear(self) -> None:
        """Remove all packets from the frame and release their memory."""
        self.packed = bytearray()

    def forget_from(self, at_us: int) -> None:
        """Remove the packets that arrived at `at_us` (µs since the spool's start) or later."""
        if not self.packed or self.last_us < at_us:
            return
        packets = unpack_packets(self.first_us, bytes(self.packed)) or []
        self.clear()
        for packet in packets:
            if packet.at_us < at_us:
                self.add(packet.track, packet.at_us, packet.data)
