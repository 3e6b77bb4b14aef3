"""A buffer of received audio, sorted by RTP timestamp, with silence for missing packets."""

from __future__ import annotations

from typing import Final

from telephony.rtp.packet import RtpPacket

RATE: Final = 8000
_MOST_UNREAD: Final = 600 * RATE
"""Samples that are kept unread (ten minutes); beyond that, the oldest are dropped."""
_JUMP: Final = 10 * RATE
"""A change of the RTP timestamp by more samples than this, from packet to packet, is a jump."""


class PlayoutBuffer:
    """The audio of one received stream as 16-bit linear PCM, from the first unread sample.

    A sample's position counts from the first sample received, and follows the RTP timestamp. After
    a new SSRC or a jump, the first packet's position comes from its arrival, not before the end of
    the buffer; later ones follow their timestamps again.
    """

    def __init__(self) -> None:
        self.received = 0
        """RTP packets received."""
        self._audio = bytearray()
        self._start = 0
        """The position of the first unread sample."""
        self._began: float | None = None
        self._ssrc: int | None = None
        self._zero = 0
        """Added to an extended RTP timestamp to get a position; new after a new SSRC or a jump."""
        self._last = 0
        """The highest RTP timestamp since the latest jump or new SSRC, extended beyond 32 bits."""

    @property
    def end(self) -> int:
        """The position directly after the newest sample."""
        return self._start + len(self._audio) // 2

    @property
    def unread(self) -> int:
        """The number of unread samples, silence for lost packets included."""
        return len(self._audio) // 2

    def put(self, packet: RtpPacket, pcm: bytes, now: float) -> None:
        """Put the decoded audio of a packet at its position; drop what was already read."""
        self.received += 1
        place = self._place(packet, now)
        if place < self._start:
            pcm, place = pcm[2 * (self._start - place) :], self._start
        if not pcm:
            return
        at = 2 * (place - self._start)
        if at > len(self._audio):
            self._audio.extend(bytes(at - len(self._audio)))
        self._audio[at : at + len(pcm)] = pcm
        self.take(self.unread - _MOST_UNREAD)

    def take(self, samples: int) -> bytes:
        """Remove and return the oldest `samples` unread samples, or all if there are fewer."""
        if samples <= 0:
            return b""
        taken = bytes(self._audio[: 2 * samples])
        del self._audio[: len(taken)]
        self._start += len(taken) // 2
        return taken

    def _place(self, packet: RtpPacket, now: float) -> int:
        step = (packet.timestamp - self._last + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if self._began is None:
            self._began = now
        if packet.ssrc != self._ssrc or abs(step) > _JUMP:
            self._ssrc, self._last = packet.ssrc, packet.timestamp
            arrived = round((now - self._began) * RATE)
            self._zero = max(arrived, self.end) - packet.timestamp
            return self._zero + self._last
        timestamp = self._last + step
        self._last = max(self._last, timestamp)
        return self._zero + timestamp
