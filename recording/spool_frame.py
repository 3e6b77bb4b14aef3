"""The media frame that is still open: packets in memory, packed as they will be sealed.

A packet is copied into one growing block of bytes, so that a second of a call is not a hundred
objects that lie scattered in memory until they are sealed.
"""

from dataclasses import dataclass, field

from recording.spool_format import MAX_MEDIA, PACKET, unpack_packets

_MAX_SPAN_US = 0xFFFFFFFF


@dataclass(slots=True)
class Unreleased:
    """A sealed media frame whose key is still ours to publish or to destroy."""

    index: int
    key: bytearray
    span: tuple[int, int]
    offset: int
    size: int
    published: int = 0
    """How many release records hold the key; after the first nothing can be erased."""


@dataclass(slots=True, eq=False)
class OpenFrame:
    """The plaintext of a MEDIA frame that grows packet by packet."""

    first_us: int = 0
    """The offset from which its packets count theirs."""
    last_us: int = 0
    packed: bytearray = field(default_factory=bytearray)

    def takes(self, at_us: int) -> bool:
        """Whether a packet of this offset still belongs here; if not, seal and empty it."""
        packed = len(self.packed)
        return not packed or (packed <= MAX_MEDIA and 0 <= at_us - self.first_us <= _MAX_SPAN_US)

    def add(self, track: int, at_us: int, data: bytes) -> None:
        """Append a packet that it takes."""
        packed = self.packed
        if not packed:
            self.first_us = self.last_us = at_us
        elif at_us > self.last_us:
            self.last_us = at_us
        packed += PACKET.pack(at_us - self.first_us, track, len(data))
        packed += data

    @property
    def span(self) -> tuple[int, int]:
        """Offsets of the first and the last packet."""
        return self.first_us, self.last_us

    def clear(self) -> None:
        """Empty it; the memory that held the packets is let go."""
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
