"""The id, start time and RTP packets of the call that tests of `recording` store and seal."""

import struct

from recording.spool.format import PACKET

US = 1_000_000
"""Microseconds in a second."""
CALL_ID = "20260301-090000-abcdefgh"
WALL = 1_772_355_600.25
"""The start of the call by the wall clock, in seconds since 1970."""


_PATTERN = bytes(0x55 ^ (0x20 + n % 64) for n in range(64 + 160))


def tone(track: int, index: int) -> bytes:
    """Return 20 ms of A-law that is never silent and differs for each packet and track."""
    start = (index * 7 + track * 3) % 64
    return _PATTERN[start : start + 160]


def rtp(track: int, index: int, *, kind: int = 8) -> bytes:
    head = struct.pack("!BBHII", 0x80, kind, index & 0xFFFF, index * 160, track + 1)
    return head + tone(track, index)


def pack_packets(packets: list[tuple[int, int, bytes]]) -> tuple[tuple[int, int], bytes]:
    """Return the span and the plaintext of a media frame with these packets.

    A packet is (at_us, track, data), with at_us >= 0. The span is the earliest and latest at_us.
    """
    offsets = [packet[0] for packet in packets]
    first, last = min(offsets), max(offsets)
    parts: list[bytes] = []
    pack = PACKET.pack
    for at, track, data in packets:
        parts.extend((pack(min(at - first, 0xFFFFFFFF), track, len(data)), data))
    return (first, last), b"".join(parts)
