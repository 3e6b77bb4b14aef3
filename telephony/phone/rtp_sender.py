"""The RTP packets that a phone sends: queued audio, DTMF digits (RFC 4733) or silence.

Every 20 ms, the phone calls `next`, or `skip` if it sends no packet.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

from telephony.errors import ProtocolError
from telephony.rtp import g711
from telephony.rtp.dtmf import KEYS, TelephoneEvent
from telephony.rtp.packet import RtpPacket

FRAME: Final = 160
"""Samples in a packet: 20 ms at 8 kHz."""
BAD_KEYS: Final = "keys may have only the characters 0-9, *, # and A-D"
_PRESS: Final = 6
"""The duration of a DTMF digit, in packets of 20 ms (120 ms in all)."""
KEY_MS: Final = 20 * _PRESS
_REPEATS: Final = 3
"""Times that the final packet of a DTMF digit is sent (RFC 4733 section 2.5.1.4)."""
_PAUSE: Final = 4
"""The silence after a DTMF digit, in packets of 20 ms (80 ms in all)."""
_VOLUME: Final = 10


class RtpSender:
    """Our RTP stream. The phone sets `law`, `payload_type`, `event_type` after negotiating."""

    def __init__(self) -> None:
        self.law = "pcma"
        self.payload_type = 8
        self.event_type: int | None = None
        self.sent = 0
        """RTP packets sent."""
        self.octets = 0
        """RTP payload octets in all packets sent."""
        self.ssrc = secrets.randbits(32)
        self.timestamp = secrets.randbits(31)
        """The RTP timestamp of the next packet."""
        self._sequence = secrets.randbits(15)
        self._audio = bytearray()
        self._keys: deque[tuple[int, int]] = deque()
        """Each digit's event code and its elapsed 20 ms steps; the digit being sent is first."""
        self._key_began = 0
        self._marker = True

    @property
    def queued(self) -> int:
        """Audio samples that wait to be sent."""
        return len(self._audio) // 2

    @property
    def pressing(self) -> bool:
        """True until all DTMF digits, and the silence after each digit, have been sent."""
        return bool(self._keys)

    def write(self, pcm: bytes) -> None:
        """Add 16-bit linear PCM to the queue; raise ProtocolError for an odd number of bytes."""
        if len(pcm) % 2:
            raise ProtocolError(
                "the audio needs an even number of bytes, because its samples have 16 bits"
            )
        self._audio += pcm

    def clear(self) -> None:
        """Discard all queued audio and all queued DTMF digits."""
        self._audio.clear()
        self._keys.clear()

    def press(self, keys: str) -> None:
        """Queue DTMF digits; raise ProtocolError for a wrong key or if the peer takes no events."""
        if any(key not in KEYS for key in keys.upper()):
            raise ProtocolError(BAD_KEYS)
        if self.event_type is None:
            raise ProtocolError("the peer accepts no telephone events; send the keys by INFO")
        self._keys.extend((KEYS.index(key), 0) for key in keys.upper())

    def skip(self) -> None:
        """Advance the timestamp by 20 ms without a packet."""
        self.timestamp = self.timestamp + FRAME & 0xFFFFFFFF
        self._marker = True

    def next(self) -> bytes:
        """Return the RTP packet for the next 20 ms: a DTMF digit, queued audio or silence."""
        packet = self._key() if self._keys else None
        if packet is None:
            packet = self._speech()
        self._sequence = self._sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + FRAME & 0xFFFFFFFF
        self.sent += 1
        self.octets += len(packet.payload)
        return bytes(packet)

    def _speech(self) -> RtpPacket:
        frame = bytes(self._audio[: 2 * FRAME])
        if not self.pressing:
            del self._audio[: len(frame)]
        else:
            frame = b""
        payload = g711.encode(frame, self.law)
        payload += bytes([g711.SILENCE[self.law]]) * (FRAME - len(payload))
        marker, self._marker = self._marker, False
        return RtpPacket(
            self.payload_type, self._sequence, self.timestamp, self.ssrc, payload, marker
        )

    def _key(self) -> RtpPacket | None:
        """Return the next packet of the pressed DTMF digit; None in the silence after a digit."""
        code, step = self._keys.popleft()
        if step + 1 < _PRESS + _REPEATS - 1 + _PAUSE:
            self._keys.appendleft((code, step + 1))
        if step >= _PRESS + _REPEATS - 1:
            return None
        if step == 0:
            self._key_began = self.timestamp
        last = step >= _PRESS - 1
        event = TelephoneEvent(code, last, _VOLUME, FRAME * min(step + 1, _PRESS))
        return RtpPacket(
            self.event_type or 0,
            self._sequence,
            self._key_began,
            self.ssrc,
            bytes(event),
            marker=step == 0,
        )
