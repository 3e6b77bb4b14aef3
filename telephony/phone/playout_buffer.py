"""Received audio in the order of its RTP timestamps; loss and pauses become silence."""

from __future__ import annotations

from typing import Final

from telephony.rtp.packet import RtpPacket

RATE: Final = 8000
_MOST_UNREAD: Final = 600 * RATE
"""Ten minutes, in samples; older unread audio is dropped."""
_JUMP: Final = 10 * RATE
"""Samples; a larger step of the timestamp, in either direction, starts a new timeline."""


class PlayoutBuffer:
    """One stream's audio as 16-bit linear PCM, from the first unread sample.

    A sample's place is its number since the first sample received. A new SSRC, or a jump of the
    timestamp, starts a new timeline. Its first packet is placed by its time of arrival, and never
    before audio that is already there.
    """

    def __init__(self) -> None:
        self.received = 0
        """The number of packets received."""
        self._audio = bytearray()
        self._start = 0
        """The place of the first unread sample."""
        self._began: float | None = None
        self._ssrc: int | None = None
        self._zero = 0
        """The number to add to an extended timestamp to get a place."""
        self._last = 0
        """The newest timestamp, extended beyond 32 bits."""

    @property
    def end(self) -> int:
        """The place after the newest sample, counted from the first sample received."""
        return self._start + len(self._audio) // 2

    @property
    def unread(self) -> int:
        """The number of samples that wait to be read."""
        return len(self._audio) // 2

    def put(self, packet: RtpPacket, pcm: bytes, now: float) -> None:
        """Place one packet's audio; drop the part whose time has already been read."""
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
        """Remove and return the oldest samples: `samples` of them, or fewer if fewer wait."""
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
