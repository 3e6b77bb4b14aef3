"""A buffer of received audio, sorted by RTP timestamp.

The buffer has silence in the place of lost packets, and for times in which the peer sent no
packets.
"""

from __future__ import annotations

from typing import Final

from telephony.rtp.packet import RtpPacket

RATE: Final = 8000
_MOST_UNREAD: Final = 600 * RATE
"""The largest number of unread samples in the buffer: ten minutes of audio.

If more samples arrive, the oldest samples are dropped.
"""
_JUMP: Final = 10 * RATE
"""A change of the RTP timestamp by more than this number of samples is a jump.

The change is from packet to packet, forwards or backwards. After a jump, the new timestamps are not
compared with the old timestamps (see `PlayoutBuffer`).
"""


class PlayoutBuffer:
    """The audio of one received stream as 16-bit linear PCM, from the first unread sample.

    Each sample has a position: the number of samples from the first sample received. The buffer
    calculates the position from the RTP timestamp. After a new SSRC or a jump of the timestamp, the
    position of the first packet is calculated from its time of arrival. This position is never
    before the end of the audio in the buffer. The positions of later packets are calculated from
    their timestamps again.
    """

    def __init__(self) -> None:
        self.received = 0
        """The number of RTP packets received."""
        self._audio = bytearray()
        self._start = 0
        """The position of the first unread sample, counted in samples from the first sample
        received.
        """
        self._began: float | None = None
        self._ssrc: int | None = None
        self._zero = 0
        """The number that is added to an extended RTP timestamp to get a position, in samples.

        Positions are counted from the first sample received. After a new SSRC or a jump of the
        timestamp, the buffer uses a new number.
        """
        self._last = 0
        """The highest RTP timestamp since the most recent jump of the timestamp or new SSRC.

        The timestamp is extended: it continues to grow beyond 32 bits.
        """

    @property
    def end(self) -> int:
        """The position directly after the newest sample.

        Positions are counted in samples from the first sample received.
        """
        return self._start + len(self._audio) // 2

    @property
    def unread(self) -> int:
        """The number of samples in the buffer, all of them unread.

        Silence in the place of lost packets is included.
        """
        return len(self._audio) // 2

    def put(self, packet: RtpPacket, pcm: bytes, now: float) -> None:
        """Put the audio of one packet at its position in the buffer.

        Audio for positions that have already been read is dropped.

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
        """Remove the oldest `samples` unread samples and return them.

        If there are fewer unread samples, remove and return all of them.
        """
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
