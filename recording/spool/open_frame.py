"""The open media frame: the packets in memory that are not sealed yet.

Each packet is copied into one growing block of bytes, which is already in the format of a media
frame's plaintext. The packets of one second would otherwise be a hundred objects, scattered in
memory.
"""

from dataclasses import dataclass, field

from recording.spool.format import MAX_MEDIA, PACKET, unpack_packets

_MAX_SPAN_US = 0xFFFFFFFF


@dataclass(slots=True)
class UnpublishedFrame:
    """A sealed media frame whose key is still in memory; the writer will publish or destroy it.

    `span` is the first and the last offset of the packets (µs). `offset` and `size` are the frame's
    place in the file and its length, in bytes.
    """

    index: int
    key: bytearray
    span: tuple[int, int]
    offset: int
    size: int
    published: int = 0
    """The number of RELEASE frames with the key that were written.

    If it is not 0, the frame can no longer be erased.
    """


@dataclass(slots=True, eq=False)
class OpenFrame:
    """The plaintext of the next media frame, to which packets are added until it is sealed."""

    first_us: int = 0
    """The offset (µs) of the first packet. The times in `packed` are relative to it."""
    last_us: int = 0
    packed: bytearray = field(default_factory=bytearray)

    def takes(self, at_us: int) -> bool:
        """Return whether a packet that arrived at the offset `at_us` can be added.

        If not, the caller must first seal and empty the frame.
        """
        packed = len(self.packed)
        return not packed or (packed <= MAX_MEDIA and 0 <= at_us - self.first_us <= _MAX_SPAN_US)

    def add(self, track: int, at_us: int, data: bytes) -> None:
        """Append a packet. The caller must have checked with `takes` that it can be added."""
        packed = self.packed
        if not packed:
            self.first_us = self.last_us = at_us
        elif at_us > self.last_us:
            self.last_us = at_us
        packed += PACKET.pack(at_us - self.first_us, track, len(data))
        packed += data

    @property
    def span(self) -> tuple[int, int]:
        """The earliest and the latest offset of the packets in the frame, in µs."""
        return self.first_us, self.last_us

    def clear(self) -> None:
        """Remove all packets from the frame and release their memory."""
        self.packed = bytearray()

    def forget_from(self, at_us: int) -> None:
        """Remove the packets whose offset is `at_us` or later."""
        if not self.packed or self.last_us < at_us:
            return
        packets = unpack_packets(self.first_us, bytes(self.packed)) or []
        self.clear()
        for packet in packets:
            if packet.at_us < at_us:
                self.add(packet.track, packet.at_us, packet.data)
