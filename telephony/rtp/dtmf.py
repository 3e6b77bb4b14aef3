"""Key presses as RTP events (RFC 4733): read one packet, and combine several into one key press.

All packets of an event have the same timestamp. The last packet is sent three times, and any packet
may be lost. The duration field is too small for a key that is held for a long time. The event then
continues in a new segment, which has its own timestamp.
"""

from dataclasses import dataclass

from telephony.errors import RtpParseError
from telephony.rtp.packet import RtpPacket

_LONGEST = 0xFFFF
"""The duration of a segment that another segment follows, in ticks of the event's clock."""
_KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The RTP payload of one telephone-event packet (RFC 4733 section 2.3)."""

    code: int
    end: bool
    volume: int
    """The power of the tone in dB below 0 dBm0, from 0 to 63."""
    duration: int
    """The time since the event began, in ticks of its clock.

    The clock is 8000 Hz, unless the SDP gives another one.
    """

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """Read an RTP payload.

        Raises:
            RtpParseError: The RTP payload is shorter than four bytes.
        """
        if len(payload) < 4:
            raise RtpParseError("a telephone event has four bytes")
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
        """The key on the telephone; None for an event that is not a key (flash, fax tones)."""
        return _KEYS[self.code] if self.code < len(_KEYS) else None


class KeyPresses:
    """Turns the event packets of one RTP stream into key presses.

    Each key press is reported once, at its first packet.
    """

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def receive(self, data: bytes) -> str | None:
        """Return the key whose press begins with this packet.

        None means that the packet continues a key press, belongs to an earlier event, or belongs to
        an event that is not a key.

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
        """Return whether the packet begins the next segment of the key that is held now.

        Such a segment is described in RFC 4733 section 2.5.1.3.
        """
        if self._last is None or packet.marker:
            return False
        ssrc, timestamp, code = self._last
        follows = (timestamp + _LONGEST) & 0xFFFFFFFF == packet.timestamp
        return follows and (packet.ssrc, event.code) == (ssrc, code)

    def _is_late(self, packet: RtpPacket) -> bool:
        """Return whether the packet belongs to an event that began before the last one.

        The packet's timestamp must be less than 16 s (at 8000 Hz) before that of the last event. If
        the difference is larger, the packet is taken for a new event.
        """
        if self._last is None or packet.ssrc != self._last[0]:
            return False
        return 0 < (self._last[1] - packet.timestamp) & 0xFFFFFFFF < 128_000
