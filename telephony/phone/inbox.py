"""Received audio, put where its RTP timestamp says: loss and pauses become silence."""

from __future__ import annotations

from typing import Final

from telephony.rtp.packet import RtpPacket

RATE: Final = 8000
_MOST_UNREAD: Final = 600 * RATE
"""Ten minutes; older audio that nobody reads is dropped."""
_JUMP: Final = 10 * RATE
"""A step further than this, either way, is a new timeline and no pause."""


class Inbox:
    """One stream's audio as 16-bit linear PCM, from the first sample that was not yet read.

    A new SSRC, or a jump of the timestamp, begins a new timeline; its first packet is placed by
    its time of arrival, and never before what is there already.
    """

    def __init__(self) -> None:
        self.received = 0
        """Packets."""
        self._audio = bytearray()
        self._start = 0
        """Place of the first unread sample."""
        self._began: float | None = None
        self._ssrc: int | None = None
        self._zero = 0
        """What to add to an extended timestamp to get a place."""
        self._last = 0
        """The newest timestamp, extended beyond 32 bits."""

    @property
    def end(self) -> int:
        """The place after the newest sample, counted from the first ever received."""
        return self._start + len(self._audio) // 2

    @property
    def unread(self) -> int:
        """How many samples wait."""
        return len(self._audio) // 2

    def put(self, packet: RtpPacket, pcm: bytes, now: float) -> None:
        """Place one packet's audio; what comes after it was read is dropped."""
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
        """Remove and return the oldest samples, as many as there are."""
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
