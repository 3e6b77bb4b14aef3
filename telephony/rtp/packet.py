"""RTP packets (RFC 3550 section 5.1): recognise, read and write them.

The relay reads single bytes and not an `RtpPacket`, because this is faster.
"""

import struct
from dataclasses import dataclass

from telephony.errors import ProtocolError, RtpParseError

Octets = bytes | bytearray | memoryview
"""A datagram, or a part of one."""
HEADER_BYTES = 12
_HEADER = struct.Struct("!BBHII")


def is_rtp(data: Octets) -> bool:
    """Return whether `data` has version 2, and the length that its RTP header and padding need.

    RTCP on the same port can also have this form; `is_rtcp` recognises it (RFC 5761).
    """
    size = len(data)
    if size < HEADER_BYTES or data[0] & 0xC0 != 0x80:
        return False
    first = data[0]
    needed = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        if size < needed + 4:
            return False
        needed += 4 + 4 * int.from_bytes(data[needed + 2 : needed + 4])
    if first & 0x20:
        padding = data[-1]
        return padding > 0 and size >= needed + padding
    return size >= needed


def is_rtcp(data: Octets) -> bool:
    """Return whether `data` is RTCP: version 2 and an RTCP packet type (RFC 5761 section 4)."""
    return len(data) >= 8 and data[0] & 0xC0 == 0x80 and 192 <= data[1] <= 223


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet; `timestamp` is in ticks of the codec's clock, `sequence` has 16 bits."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    """The 16-bit profile and the data (a multiple of 4 octets) of the header extension, or None."""

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Read an RTP packet and drop its padding; raise RtpParseError if it is not valid."""
        if not is_rtp(data):
            raise RtpParseError("not an RTP packet")
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        count = first & 0x0F
        start = HEADER_BYTES + 4 * count
        csrcs = struct.unpack_from(f"!{count}I", data, HEADER_BYTES)
        extension = None
        if first & 0x10:
            profile, words = struct.unpack_from("!HH", data, start)
            extension = (profile, data[start + 4 : start + 4 + 4 * words])
            start += 4 + 4 * words
        end = len(data) - (data[-1] if first & 0x20 else 0)
        return cls(
            payload_type=second & 0x7F,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=data[start:end],
            marker=second >= 0x80,
            csrcs=csrcs,
            extension=extension,
        )

    def __bytes__(self) -> bytes:
        if self.payload_type > 127 or len(self.csrcs) > 15:
            raise ProtocolError("payload type or number of sources does not fit an RTP header")
        first = 0x80 | (0x10 if self.extension else 0) | len(self.csrcs)
        second = self.payload_type | (0x80 if self.marker else 0)
        head = _HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        head += struct.pack(f"!{len(self.csrcs)}I", *self.csrcs)
        if self.extension:
            profile, content = self.extension
            if len(content) % 4:
                raise ProtocolError("a header extension is not a multiple of four bytes")
            head += struct.pack("!HH", profile, len(content) // 4) + content
        return head + self.payload
