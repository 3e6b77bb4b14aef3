"""RTCP (RFC 3550 section 6): split compound packets, read and write reports, replace SSRCs.

Of reports, it reads the sending time and the report blocks. Of other packets, only the SSRCs.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from telephony.errors import RtpParseError

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
BYE = 203
_FEEDBACK = {205, 206}
"""RTCP feedback (RFC 4585), 205 for the transport layer, 206 for the payload.

The second SSRC of a feedback packet is the source to which the feedback refers.
"""

_INFO = struct.Struct("!BBHIQIII")
_NTP_EPOCH = 2_208_988_800
"""The start of 1970, in seconds since the start of 1900 (the NTP epoch)."""
_BLOCK = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """The report of one receiver about one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """The loss since the previous report, in 1/256 of the expected packets."""
    lost: int
    """The packets lost since the first packet; can be negative if packets arrived twice."""
    highest_sequence: int
    """The highest received sequence number; the upper 16 bits count its restarts at 0."""
    jitter: int
    """The variation of the packets' transit time, in ticks of the codec's clock."""
    last_sender_report: int
    """The `sent_at` of the most recent sender report from the source; 0 if there was none."""
    delay: int
    """The time in 1/65536 s since the most recent sender report arrived; 0 if there was none."""

    def __bytes__(self) -> bytes:
        loss = self.fraction_lost << 24 | max(-0x800000, min(self.lost, 0x7FFFFF)) & 0xFFFFFF
        after = (self.highest_sequence, self.jitter, self.last_sender_report, self.delay)
        return _BLOCK.pack(self.ssrc, loss, *(value & 0xFFFFFFFF for value in after))


@dataclass(frozen=True, slots=True)
class RtcpPacket:
    """One packet of a compound packet; `count` has five bits, `body` is without the header."""

    type: int
    count: int
    body: bytes

    @property
    def ssrc(self) -> int | None:
        """The SSRC of the sender; None if the packet contains no SSRC."""
        return int.from_bytes(self.body[:4]) if len(self.body) >= 4 else None

    @property
    def sent_at(self) -> int | None:
        """The middle 32 bits of the NTP timestamp in a sender report; None in other packets."""
        return int.from_bytes(self.body[6:10]) if self.type == SENDER_REPORT else None

    def reports(self) -> Iterator[ReportBlock]:
        """Yield the report blocks of a sender report or receiver report; none for other types."""
        start = {SENDER_REPORT: 24, RECEIVER_REPORT: 4}.get(self.type)
        if start is None:
            return
        for offset in range(start, start + 24 * self.count, 24):
            ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(self.body, offset)
            lost = loss & 0xFFFFFF
            signed = lost - 0x1000000 if lost & 0x800000 else lost
            yield ReportBlock(ssrc, loss >> 24, signed, highest, jitter, last, delay)


def parse_compound(data: bytes) -> tuple[RtcpPacket, ...]:
    """Split a datagram into its RTCP packets.

    Raises `RtpParseError` if it is empty, a version is not 2, or a length is wrong or too short.
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
            raise RtpParseError("the padding of an RTCP packet is longer than its body")
        body = data[offset + 4 : end - padding]
        packet = RtcpPacket(data[offset + 1], data[offset] & 0x1F, body)
        _check_length(packet)
        packets.append(packet)
        offset = end
    if not packets:
        raise RtpParseError("the datagram is empty")
    return tuple(packets)


def short_time(wall: float) -> int:
    """Return the middle 32 bits of the NTP timestamp (RFC 3550 4) of `wall`, in Unix seconds."""
    return round((wall + _NTP_EPOCH) * 2**16) & 0xFFFFFFFF


def sender_report(
    ssrc: int,
    wall: float,
    *,
    timestamp: int,
    packets: int,
    octets: int,
    name: str,
    blocks: Sequence[ReportBlock] = (),
) -> bytes:
    """Return a compound packet: a sender report and the CNAME (RFC 3550 sections 6.4.1, 6.5).

    `wall` is the current time in seconds since 1970, and `timestamp` the RTP timestamp of the same
    moment. `packets` and `octets` (of payload) are all that `ssrc` has sent. The CNAME `name` has
    at most 255 octets. `blocks` are at most 31 reports about streams that the source receives.
    """
    ntp = round((wall + _NTP_EPOCH) * 2**32) & 0xFFFFFFFFFFFFFFFF
    first, length = 0x80 | len(blocks), 6 + 6 * len(blocks)
    report = _INFO.pack(first, SENDER_REPORT, length, ssrc, ntp, timestamp, packets, octets)
    return report + b"".join(map(bytes, blocks)) + _description(ssrc, name)


def receiver_report(ssrc: int, name: str, blocks: Sequence[ReportBlock] = ()) -> bytes:
    """Return the report of an `ssrc` that has sent no new RTP, and its CNAME (RFC 3550 6.4.2)."""
    head = struct.pack("!BBHI", 0x80 | len(blocks), RECEIVER_REPORT, 1 + 6 * len(blocks), ssrc)
    return head + b"".join(map(bytes, blocks)) + _description(ssrc, name)


def _description(ssrc: int, name: str) -> bytes:
    cname = name.encode()
    items = bytes([1, len(cname)]) + cname
    items += bytes(4 - len(items) % 4)
    head = struct.pack("!BBHI", 0x81, SOURCE_DESCRIPTION, 1 + len(items) // 4, ssrc)
    return head + items


def goodbye(ssrc: int) -> bytes:
    """Return a BYE packet (the source ends), to follow a report in a compound packet."""
    return struct.pack("!BBHI", 0x81, BYE, 1, ssrc)


def replace_ssrcs(data: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """Return an RTCP compound packet with its SSRCs replaced.

    `names` maps old SSRCs to new ones, of four octets each. An SSRC that is not in `names` stays.
    Raises `RtpParseError` as `parse_compound`.
    """
    out = bytearray(data)
    offset = 0
    for packet in parse_compound(data):
        for at in _sources_of(packet):
            place = offset + 4 + at
            old = bytes(out[place : place + 4])
            out[place : place + 4] = names.get(old, old)
        offset += 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4])
    return bytes(out)


def _sources_of(packet: RtcpPacket) -> Iterator[int]:
    """Yield the position of each SSRC in the packet's body, in octets."""
    if packet.type == BYE:
        yield from range(0, 4 * packet.count, 4)
    elif packet.type == SOURCE_DESCRIPTION:
        yield from _chunks_of(packet)
    elif len(packet.body) >= 4:
        yield 0
        start = {SENDER_REPORT: 24, RECEIVER_REPORT: 4}.get(packet.type)
        if start is not None:
            yield from range(start, start + 24 * packet.count, 24)
        elif packet.type in _FEEDBACK and len(packet.body) >= 8:
            yield 4


def _chunks_of(packet: RtcpPacket) -> Iterator[int]:
    """Yield the position of each SSRC in a source description, in octets (RFC 3550 section 6.5)."""
    at, body = 0, packet.body
    for _ in range(packet.count):
        if at + 4 > len(body):
            return
        yield at
        at += 4
        while at + 1 < len(body) and body[at]:
            at += 2 + body[at + 1]
        at += 4 - at % 4


def _check_length(packet: RtcpPacket) -> None:
    fixed = {SENDER_REPORT: (24, 24), RECEIVER_REPORT: (4, 24), BYE: (0, 4)}.get(packet.type)
    if fixed and len(packet.body) < fixed[0] + fixed[1] * packet.count:
        raise RtpParseError("an RTCP report is cut short")
