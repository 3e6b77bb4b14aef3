"""The open media frame: packets in memory, in the format in which they will be sealed.

Each packet is copied into one growing block of bytes. So a second of a call is not a hundred
objects, scattered in memory until they are sealed.
"""

from dataclasses import dataclass, field

from recording.spool.format import MAX_MEDIA, PACKET, unpack_packets

_MAX_SPAN_US = 0xFFFFFFFF


@dataclass(slots=True)
class UnpublishedFrame:
    """A sealed media frame whose key the writer still has, to publish or destroy it."""

    index: int
    key: bytearray
    span: tuple[int, int]
    offset: int
    size: int
    published: int = 0
    """The number of RELEASE frames with the key; after the first, the frame cannot be erased."""


@dataclass(slots=True, eq=False)
class OpenFrame:
    """The plaintext of a MEDIA frame, to which packets are added."""

    first_us: int = 0
    """The offset (µs) of the first packet; the packed times are relative to it."""
    last_us: int = 0
    packed: bytearray = field(default_factory=bytearray)

    def takes(self, at_us: int) -> bool:
        """Return whether a packet with this offset can be added.

        If not, seal and empty the frame first.
        """
        packed = len(self.packed)
        return not packed or (packed <= MAX_MEDIA and 0 <= at_us - self.first_us <= _MAX_SPAN_US)

    def add(self, track: int, at_us: int, data: bytes) -> None:
        """Append a packet for which `takes` is true."""
        packed = self.packed
        if not packed:
            self.first_us = self.last_us = at_us
        elif at_us > self.last_us:
            self.last_us = at_us
        packed += PACKET.pack(at_us - self.first_us, track, len(data))
        packed += data

    @property
    def span(self) -> tuple[int, int]:
        """The earliest and the latest offset of the packets, in µs."""
        return self.first_us, self.last_us

    def clear(self) -> None:
        """Empty the frame and release the packets' memory."""
        self.packed = bytearray()

    def forget_from(self, at_us: int) -> None:
        """Drop the packets whose offset is `at_us` or later."""
        if not self.packed or self.last_us < at_us:
            return
        packets = unpack_packets(self.first_us, bytes(self.packed)) or []
        self.clear()
        for packet in packets:
            if packet.at_us < at_us:
                self.add(packet.track, packet.at_us, packet.data)
