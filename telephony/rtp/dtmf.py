"""DTMF digits as RTP events (RFC 4733).

This module reads the packets of an event, and combines the packets of one DTMF digit. The final
packet of an event is sent three times, and any packet may be lost. All packets of an event have the
same timestamp. The only exception is a digit that is pressed for so long that the duration field is
too small: its event consists of several segments, and each segment has its own timestamp.
"""

from dataclasses import dataclass

from telephony.errors import RtpParseError
from telephony.rtp.packet import RtpPacket

_LONGEST = 0xFFFF
"""The largest value of the duration field, in ticks of the event's clock.

If a digit is pressed for longer, it is sent as several segments (RFC 4733 section 2.5.1.3). All
segments except the last have this duration.
"""
_KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The RTP payload of one telephone-event packet (RFC 4733 section 2.3)."""

    code: int
    end: bool
    volume: int
    """The power of the tone in dB below 0 dBm0, from 0 to 63."""
    duration: int
    """The time since the event began, in ticks of the event's clock.

    A long event is sent in several segments (RFC 4733 section 2.5.1.3). For such an event, it is
    the time since the present segment began. The clock has 8000 Hz, unless the SDP gives a
    different frequency.
    """

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """Read the RTP payload of a telephone-event packet.

        Raises:
            RtpParseError: The RTP payload is shorter than four bytes.
        """
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
        return _KEYS[self.code] if self.code < len(_KEYS) else None


class KeyPresses:
    """Finds the DTMF digits in the event packets of one RTP stream.

    Each press of a DTMF digit is reported once, at its first packet.
    """

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def receive(self, data: bytes) -> str | None:
        """Return the DTMF digit that begins with this packet.

        None means that the packet continues a digit, belongs to an event before the most recent
        event, or belongs to an event that is not a digit.

        Raises:
            RtpParseError: The packet or its RTP payload cannot be read.
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

        A digit has a next segment if it is pressed for longer than `_LONGEST`. The timestamp of the
        next segment is then `_LONGEST` after the timestamp of the segment before it (RFC 4733
        section 2.5.1.3).
        """
        if self._last is None or packet.marker:
            return False
        ssrc, timestamp, code = self._last
        follows = (timestamp + _LONGEST) & 0xFFFFFFFF == packet.timestamp
        return follows and (packet.ssrc, event.code) == (ssrc, code)

    def _is_late(self, packet: RtpPacket) -> bool:
        """Return whether the packet belongs to an event that began before the most recent event.

        This is so if the packet's timestamp is less than 16 s (at 8000 Hz) before the timestamp of
        the most recent event. A packet whose timestamp is 16 s or more before that timestamp counts
        as a new event.
        """
        if self._last is None or packet.ssrc != self._last[0]:
            return False
        return 0 < (self._last[1] - packet.timestamp) & 0xFFFFFFFF < 128_000
