"""RTCP (RFC 3550 section 6): compound packets taken apart, reports read.

Only what is asked for is understood: sender and receiver reports and BYE; other types are kept
as bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from telephony.errors import RtpParseError

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
BYE = 203

_BLOCK = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one receiver says of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the last report."""
    lost: int
    """Since the beginning; negative when there were duplicates."""
    highest_sequence: int
    """Extended by the count of wraps in the upper 16 bits."""
    jitter: int
    """In ticks of the codec's clock."""
    last_sender_report: int
    delay: int
    """Since that report, in 1/65536 s."""


@dataclass(frozen=True, slots=True)
class RtcpPacket:
    """One packet of a compound. `count` is the five-bit field, `body` what follows the header."""

    type: int
    count: int
    body: bytes

    @property
    def ssrc(self) -> int | None:
        """Who sent it; None in a packet without sources."""
        return int.from_bytes(self.body[:4]) if len(self.body) >= 4 else None

    def reports(self) -> Iterator[ReportBlock]:
        """The report blocks of a sender or receiver report; nothing for other types."""
        start = {SENDER_REPORT: 24, RECEIVER_REPORT: 4}.get(self.type)
        if start is None:
            return
        for offset in range(start, start + 24 * self.count, 24):
            ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(self.body, offset)
            lost = loss & 0xFFFFFF
            signed = lost - 0x1000000 if lost & 0x800000 else lost
            yield ReportBlock(ssrc, loss >> 24, signed, highest, jitter, last, delay)


def parse_compound(data: bytes) -> tuple[RtcpPacket, ...]:
    """Take a datagram apart.

    Raises:
        RtpParseError: a length does not fit, the version is not 2, or a report is cut short.
    """
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < 4 or data[offset] & 0xC0 != 0x80:
            raise RtpParseError("not an RTCP packet")
        end = offset + 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4])
        if end > len(data):
            raise RtpParseError("an RTCP packet is cut short")
        padding = data[end - 1] if data[offset] & 0x20 else 0
        if padding > end - offset - 4:
            raise RtpParseError("an RTCP packet is shorter than its padding")
        body = data[offset + 4 : end - padding]
        packet = RtcpPacket(data[offset + 1], data[offset] & 0x1F, body)
        _check_length(packet)
        packets.append(packet)
        offset = end
    if not packets:
        raise RtpParseError("an empty datagram is no RTCP")
    return tuple(packets)


def _check_length(packet: RtcpPacket) -> None:
    fixed = {SENDER_REPORT: (24, 24), RECEIVER_REPORT: (4, 24), BYE: (0, 4)}.get(packet.type)
    if fixed and len(packet.body) < fixed[0] + fixed[1] * packet.count:
        raise RtpParseError("an RTCP report is cut short")
