"""The open media frame: the packets in memory that are not encrypted and written yet.

One `bytearray` already has the format of a media frame's plaintext, because this is faster than a
list of objects. When packets leave the frame, their bytes are overwritten with zeros, so that
nothing of an erased or paused call stays in memory.
"""

from dataclasses import dataclass, field

from recording.spool.format import MAX_MEDIA, PACKET
from recording.spool.packet_counts import no_packets

_MAX_SPAN_US = 0xFFFFFFFF
_HEAD_BYTES = PACKET.size
_pack_head = PACKET.pack_into
_FIRST_BYTES = 24 * 1024
"""The initial size of the buffer in bytes: one second of G.711 of both parties fits."""


@dataclass(slots=True)
class UnpublishedFrame:
    """An encrypted media frame whose key is still in memory and in the runtime folder.

    The writer will either publish the key (write it into the spool file) or destroy it. `span` is
    the earliest and the latest arrival, in µs since the spool's start. `offset` (in the file) and
    `size` are in bytes.
    """

    index: int
    key: bytearray
    span: tuple[int, int]
    offset: int
    size: int
    packets: tuple[int, ...]
    """The number of the frame's packets on each track."""
    published: int = 0
    """The number of times that the frame's key was written into the spool file.

    After the first write, the frame can no longer be erased. After the second, the key is
    overwritten in memory and in the runtime folder.
    """
    ticked_us: int | None = None
    """The first tick after the frame was written, in µs; None before it."""


@dataclass(slots=True, eq=False)
class OpenFrame:
    """The plaintext of the next media frame. Times are µs since the spool's start."""

    first_us: int = 0
    """The arrival of the first packet, from which the times in the buffer count."""
    last_us: int = 0
    """The arrival of the latest packet."""
    size: int = 0
    """The length of the plaintext in bytes; 0 if the frame has no packets."""
    packets: list[int] = field(default_factory=no_packets)
    """The number of the frame's packets on each track."""
    _buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_FIRST_BYTES)))
    """The plaintext, and free space behind it, which contains only zeros.

    A `memoryview` copies a packet straight into the buffer. A `bytearray` would make a temporary
    copy first, which would stay in memory.
    """

    def takes(self, at_us: int) -> bool:
        """Return whether a packet that arrived at `at_us` may be added to this frame.

        If not, the frame must be written first: it is full, or begins after the packet, or begins
        over an hour before it.
        """
        size = self.size
        return not size or (size <= MAX_MEDIA and 0 <= at_us - self.first_us <= _MAX_SPAN_US)

    def add(self, track: int, at_us: int, data: bytes | bytearray | memoryview) -> None:
        """Append a packet for which `takes` returned True."""
        size = self.size
        if not size:
            self.first_us = self.last_us = at_us
        elif at_us > self.last_us:
            self.last_us = at_us
        length = len(data)
        start = size + _HEAD_BYTES
        self.size = end = start + length
        buffer = self._buffer
        if end > len(buffer):
            buffer = self._grow(end)
        _pack_head(buffer, size, at_us - self.first_us, track, length)
        buffer[start:end] = data
        self.packets[track] += 1

    @property
    def plaintext(self) -> memoryview:
        """The frame's plaintext, which must not be used after the next change of the frame."""
        return self._buffer[: self.size]

    @property
    def span(self) -> tuple[int, int]:
        """The arrival of the earliest and of the latest packet."""
        return self.first_us, self.last_us

    def clear(self) -> None:
        """Remove and overwrite all packets."""
        self._buffer[: self.size] = bytes(self.size)
        self.size = 0
        self.packets = no_packets()

    def forget_from(self, at_us: int) -> None:
        """Remove and overwrite the packets that arrived at `at_us` or later."""
        if self.size and self.last_us >= at_us:
            kept = earlier_packets(self.first_us, self.plaintext, at_us)
            self.clear()
            if kept.size:
                self.first_us, self.last_us = kept.span
            self.size, self._buffer = kept.size, kept._buffer  # noqa: SLF001 - the same class
            self.packets = kept.packets

    def _grow(self, needed: int) -> memoryview:
        """Replace the buffer by one with at least `needed` bytes, and overwrite the old one."""
        former = self._buffer
        grown = memoryview(bytearray(max(needed, 2 * len(former))))
        grown[: len(former)] = former
        former[:] = bytes(len(former))
        self._buffer = grown
        return grown


def earlier_packets(from_us: int, plaintext: bytearray | memoryview, until_us: int) -> OpenFrame:
    """Return a frame with those packets of a plaintext that arrived before `until_us`.

    `from_us` is the arrival of the plaintext's first packet.
    """
    kept = OpenFrame()
    position = 0
    whole = memoryview(plaintext)
    while position < len(whole):
        delta, track, length = PACKET.unpack_from(whole, position)
        position += PACKET.size
        if from_us + delta < until_us:
            kept.add(track, from_us + delta, whole[position : position + length])
        position += length
    return kept
