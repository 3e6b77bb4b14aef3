"""A stream from which packets are removed, renumbered so that none seems lost.

This is the translator of RFC 3550 section 7.2. SSRC and timestamps stay, so that a gap is a silence
to the receiver. The sequence numbers close up, and RTCP to either side is rewritten to the numbers
that this side knows. Packets that overtake each other keep their places.
"""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from telephony.errors import RtpParseError
from telephony.rtp.packet import HEADER_BYTES
from telephony.rtp.rtcp import RECEIVER_REPORT, SENDER_REPORT, RtcpPacket, parse_compound

_REMEMBERED: Final = 256
"""The most removed packets whose places are stored one by one.

A packet that arrives more than this many packets late can get a wrong number.
"""
_MOST_SOURCES: Final = 32
"""SSRCs that are tracked at once; the oldest one makes room for a new one."""
_WORD: Final = struct.Struct("!I")
_Change = Callable[[RtcpPacket, bytearray, int], None]


@dataclass(slots=True)
class _Source:
    highest: int
    """The sequence number after the newest one, sent or removed, counted on through wraps."""
    before: int = 0
    """Removed packets that are no longer in `taken`."""
    taken: deque[int] = field(default_factory=deque)
    """The places of the packets that were removed last, counted like `highest`."""
    octets: int = 0
    """Octets of the removed packets, without their RTP headers."""

    @property
    def packets(self) -> int:
        return self.before + len(self.taken)

    def extended(self, sequence: int) -> int:
        return self.highest + ((sequence - self.highest + 0x8000 & 0xFFFF) - 0x8000)

    def missing(self, place: int) -> int:
        """Return how many packets were removed before this place."""
        if place >= self.highest:
            return self.packets
        return self.before + sum(other < place for other in self.taken)


class Renumbering:
    """Renumbers the packets of one party, of which some are removed."""

    def __init__(self) -> None:
        self._sources: dict[bytes, _Source] = {}

    def take_out(self, data: bytes) -> None:
        """Remove this RTP packet; if later packets were sent before it, its gap stays."""
        source, place = self._place(data)
        if place < source.highest:
            return
        source.highest = place + 1
        source.taken.append(place)
        source.octets += len(data) - HEADER_BYTES
        if len(source.taken) > _REMEMBERED:
            source.taken.popleft()
            source.before += 1

    def sent(self, data: bytes) -> bytes:
        """Return this RTP packet with its new number; a second call returns the same."""
        source, place = self._place(data)
        missing = source.missing(place)
        source.highest = max(source.highest, place + 1)
        if not missing:
            return data
        return data[:2] + (place - missing & 0xFFFF).to_bytes(2) + data[4:]

    def report(self, data: bytes) -> bytes:
        """Return the party's RTCP, with sender reports that count only the packets sent on."""
        return self._rewritten(data, self._sender)

    def heard_of(self, data: bytes) -> bytes:
        """Return RTCP about the party, with its reception in the party's own numbers."""
        return self._rewritten(data, self._reception)

    def _place(self, data: bytes) -> tuple[_Source, int]:
        sequence, ssrc = int.from_bytes(data[2:4]), data[8:12]
        source = self._sources.get(ssrc)
        if source is None:
            if len(self._sources) >= _MOST_SOURCES:
                del self._sources[next(iter(self._sources))]
            source = self._sources[ssrc] = _Source(0x10000 + sequence)
        return source, source.extended(sequence)

    @staticmethod
    def _rewritten(data: bytes, change: _Change) -> bytes:
        try:
            packets = parse_compound(data)
        except RtpParseError:
            return data
        out, offset = bytearray(data), 0
        for packet in packets:
            change(packet, out, offset + 4)
            offset += 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4])
        return bytes(out)

    def _sender(self, packet: RtcpPacket, out: bytearray, start: int) -> None:
        source = self._sources.get(packet.body[:4])
        if source is not None and packet.type == SENDER_REPORT:
            for place, less in ((start + 16, source.packets), (start + 20, source.octets)):
                _add(out, place, -less)

    def _reception(self, packet: RtcpPacket, out: bytearray, start: int) -> None:
        first = {SENDER_REPORT: 24, RECEIVER_REPORT: 4}.get(packet.type)
        if first is None:
            return
        for place in range(first, first + 24 * packet.count, 24):
            source = self._sources.get(packet.body[place : place + 4])
            if source is not None:
                _add(out, start + place + 8, source.packets)


def _add(out: bytearray, place: int, what: int) -> None:
    value = _WORD.unpack_from(out, place)[0] + what
    _WORD.pack_into(out, place, value & 0xFFFFFFFF)
