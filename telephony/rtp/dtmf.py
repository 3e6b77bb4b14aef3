"""DTMF digits as RTP events (RFC 4733): read packets, and combine the packets of one digit.

The final packet of an event is sent three times, and any packet may be lost. All packets of an
event have the same timestamp, unless a digit is too long for the duration field: its event then has
several segments, each with its own timestamp.
"""

from dataclasses import dataclass

from telephony.errors import RtpParseError
from telephony.rtp.packet import RtpPacket

_LONGEST = 0xFFFF
"""The largest value of the duration field, in ticks of the event's clock.

A longer press is sent in segments, all but the last of this duration (RFC 4733 section 2.5.1.3).
"""
KEYS = "0123456789*#ABCD"
"""The DTMF digits, in the sequence of their event codes."""


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The RTP payload of one telephone-event packet (RFC 4733 section 2.3)."""

    code: int
    end: bool
    volume: int
    """The power of the tone in dB below 0 dBm0, from 0 to 63."""
    duration: int
    """The time since the event or its present segment began, in ticks of the event's clock.

    The clock runs at 8000 Hz unless the SDP says otherwise.
    """

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """Read the RTP payload of a telephone-event; raise RtpParseError below four bytes."""
        if len(payload) < 4:
            raise RtpParseError("a telephone event is shorter than four bytes")
        return cls(
            code=payload[0],
            end=payload[1] >= 0x80,
            volume=payload[1] & 0x3F,
            duration=int.from_bytes(payload[2:4]),
        )

    def __bytes__(self) -> bytes:
        second = (0x80 if self.end else 0) | self.volume
        return bytes([self.code, second]) + self.duration.to_bytes(2)

    @property
    def key(self) -> str | None:
        """The DTMF digit; None for an event that is not a digit, such as flash or a fax tone."""
        return KEYS[self.code] if self.code < len(KEYS) else None


class KeyPresses:
    """Finds the DTMF digits of one RTP stream; reports each press once, as soon as it begins."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def receive(self, data: bytes) -> str | None:
        """Return the DTMF digit that begins with this packet.

        None means that the packet continues a digit, or belongs to an earlier event or to an event
        that is not a digit. Raises `RtpParseError`.
        """
        packet = RtpPacket.parse(data)
        event = TelephoneEvent.parse(packet.payload)
        this = (packet.ssrc, packet.timestamp, event.code)
        if this == self._last or self._is_late(packet):
            return None
        goes_on = self._goes_on(packet, event)
        self._last = this
        return None if goes_on else event.key

    def _goes_on(self, packet: RtpPacket, event: TelephoneEvent) -> bool:
        """Return whether the packet begins the next segment of a DTMF digit.

        Its timestamp is then `_LONGEST` after that of the segment before (RFC 4733 section
        2.5.1.3).
        """
        if self._last is None or packet.marker:
            return False
        ssrc, timestamp, code = self._last
        follows = (timestamp + _LONGEST) & 0xFFFFFFFF == packet.timestamp
        return follows and (packet.ssrc, event.code) == (ssrc, code)

    def _is_late(self, packet: RtpPacket) -> bool:
        """Return whether the packet's event began before the most recent event.

        Its timestamp is then less than 16 s (at 8000 Hz) before that of the most recent event. With
        a larger difference, the packet begins a new event.
        """
        if self._last is None or packet.ssrc != self._last[0]:
            return False
        return 0 < (self._last[1] - packet.timestamp) & 0xFFFFFFFF < 128_000
