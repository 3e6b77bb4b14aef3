"""A buffer of received audio in the order of its RTP timestamps.

Silence stands for lost packets and for pauses.
"""

from __future__ import annotations

from typing import Final

from telephony.rtp.packet import RtpPacket

RATE: Final = 8000
_MOST_UNREAD: Final = 600 * RATE
"""The most unread samples that the buffer holds: ten minutes. Older samples are dropped."""
_JUMP: Final = 10 * RATE
"""The largest change of the RTP timestamp within one timeline, in samples.

A larger change, forwards or backwards, starts a new timeline.
"""


class PlayoutBuffer:
    """The audio of one received stream as 16-bit linear PCM, from the first unread sample.

    The place of a sample is its distance, in samples, from the first sample received. On a
    timeline, the RTP timestamp gives the place. A new SSRC, or a jump of the timestamp, starts a
    new timeline. The first packet of a timeline is placed by its time of arrival, but never before
    audio that is already in the buffer.
    """

    def __init__(self) -> None:
        self.received = 0
        """The number of RTP packets received."""
        self._audio = bytearray()
        self._start = 0
        """The place of the first unread sample: its distance from the first sample received."""
        self._began: float | None = None
        self._ssrc: int | None = None
        self._zero = 0
        """The number to add to an extended RTP timestamp to get a place (see the class)."""
        self._last = 0
        """The newest RTP timestamp, extended beyond 32 bits."""

    @property
    def end(self) -> int:
        """The place after the newest sample: its distance from the first sample received."""
        return self._start + len(self._audio) // 2

    @property
    def unread(self) -> int:
        """The number of received samples that are not read yet."""
        return len(self._audio) // 2

    def put(self, packet: RtpPacket, pcm: bytes, now: float) -> None:
        """Put the audio of one packet at its place.

        The part of the audio whose place has already been read is dropped.

        Args:
            packet: The RTP packet.
            pcm: The audio of the packet, decoded to 16-bit linear PCM.
            now: The time of arrival, in monotonic seconds.
        """
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
        """Remove and return the oldest unread samples: `samples`, or all if fewer are unread."""
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
