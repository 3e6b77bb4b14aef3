"""Key presses as RTP events (RFC 4733): one packet read, and a run of packets made one press.

An event's packets share a timestamp; the last is sent three times, and any may be lost. A key that
is held for longer than a packet can say goes on in another segment, with a timestamp of its own.
"""

from dataclasses import dataclass

from telephony.errors import RtpParseError
from telephony.rtp.packet import RtpPacket

_LONGEST = 0xFFFF
"""Ticks that one segment lasts when another follows it."""
_KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The payload of one packet (RFC 4733 section 2.3)."""

    code: int
    end: bool
    volume: int
    """Below 0 dBm0, 0 to 63."""
    duration: int
    """Since the event's start, in ticks of the event's clock (8000 Hz unless SDP says other)."""

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """Read a payload.

        Raises:
            RtpParseError: it is shorter than four bytes.
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
        """The key of the telephone, None for events that are none (flash, fax tones)."""
        return _KEYS[self.code] if self.code < len(_KEYS) else None


class KeyPresses:
    """Turns one stream's event packets into presses: each once, at its first packet."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def receive(self, data: bytes) -> str | None:
        """The key that this packet begins, None when it goes on or is no key.

        Raises:
            RtpParseError: the packet or its payload cannot be read.
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
        """Whether this is the next segment of the key that is held (RFC 4733 2.5.1.3)."""
        if self._last is None or packet.marker:
            return False
        ssrc, timestamp, code = self._last
        follows = (timestamp + _LONGEST) & 0xFFFFFFFF == packet.timestamp
        return follows and (packet.ssrc, event.code) == (ssrc, code)

    def _is_late(self, packet: RtpPacket) -> bool:
        """Whether the packet belongs to an event before the last one (16 s at 8000 Hz)."""
        if self._last is None or packet.ssrc != self._last[0]:
            return False
        return 0 < (self._last[1] - packet.timestamp) & 0xFFFFFFFF < 128_000
