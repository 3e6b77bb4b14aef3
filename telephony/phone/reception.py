"""The quality of a received RTP stream (RFC 3550 appendix A.3 and A.8).

The quality is counted as packets that were received, lost or late, and as jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.rtp.packet import RtpPacket

_RATE: Final = 8000
_FAR: Final = 3000
"""The largest change of the sequence number within one RTP stream (MAX_DROPOUT in RFC 3550).

A larger change means that the sender started a new stream.
"""


@dataclass(frozen=True, slots=True)
class ReceptionQuality:
    """The quality with which one party received media: counts of packets, and jitter."""

    received: int = 0
    """The number of packets received, without duplicates."""
    lost: int = 0
    """The number of packets that never arrived, according to gaps in the sequence numbers."""
    late: int = 0
    """The number of packets that arrived after a packet with a higher sequence number."""
    jitter: float = 0.0
    """The jitter when the newest packet arrived, in seconds."""

    @property
    def loss(self) -> float:
        """The share of packets that were lost, from 0 to 1."""
        expected = self.received + self.lost
        return self.lost / expected if expected else 0.0


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The counts that RTCP reports (RFC 3550 section 6.4.1) of the newest SSRC received."""

    ssrc: int
    highest: int
    """The highest sequence number received, plus 65536 for each time that the number wrapped."""
    expected: int
    """The number of packets that were sent from the first to the highest sequence number."""
    received: int
    jitter: int
    """The jitter in RTP timestamp units of 1/8000 s."""


class ReceptionCounter:
    """Counts the received packets of one direction of a call.

    A new SSRC is a new stream. The counts of all streams are added.
    """

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._first = 0
        self._highest = 0
        self._received_of_source = 0
        """The number of packets received with the current SSRC."""
        self._missing: set[int] = set()
        """The extended sequence numbers of missing packets, among the newest `_FAR` numbers."""
        self._given_up = 0
        self._received = 0
        self._late = 0
        self._jitter = 0.0
        self._transit: float | None = None

    @property
    def now(self) -> ReceptionQuality:
        """The quality of reception from the first packet until now."""
        lost = self._given_up + len(self._missing)
        return ReceptionQuality(self._received, lost, self._late, self._jitter)

    @property
    def source(self) -> SourceCounts | None:
        """The counts of the SSRC that is received now; None before the first packet."""
        if self._ssrc is None:
            return None
        expected = self._highest - self._first + 1
        jitter = round(self._jitter * _RATE)
        return SourceCounts(self._ssrc, self._highest, expected, self._received_of_source, jitter)

    def put(self, packet: RtpPacket, now: float) -> None:
        """Count a packet that arrived at the monotonic time `now`, in seconds.

        Do not use this method for the packets of a key press, because they share one timestamp. Use
        `count_untimed` for these packets.
        """
        if self._count(packet):
            self._time(packet.timestamp, now)

    def count_untimed(self, packet: RtpPacket) -> None:
        """Count a packet whose timestamp does not show when the packet was sent, such as a key."""
        self._count(packet)

    def _count(self, packet: RtpPacket) -> bool:
        """Count a packet by its sequence number.

        Return whether the packet has a higher sequence number than all packets before it, or starts
        a new stream.
        """
        step = (packet.sequence - self._highest + 0x8000 & 0xFFFF) - 0x8000
        if packet.ssrc != self._ssrc or abs(step) > _FAR:
            self._given_up += len(self._missing)
            self._missing.clear()
            self._ssrc, self._highest, self._transit = packet.ssrc, packet.sequence, None
            self._first, self._received_of_source = packet.sequence, 0
        elif step > 0:
            self._missing.update(range(self._highest + 1, self._highest + step))
            self._highest += step
            self._forget()
        elif self._highest + step in self._missing:
            self._missing.discard(self._highest + step)
            self._received += 1
            self._received_of_source += 1
            self._late += 1
            return False
        else:
            return False
        self._received += 1
        self._received_of_source += 1
        return True

    def _forget(self) -> None:
        old = {number for number in self._missing if self._highest - number > _FAR}
        self._missing -= old
        self._given_up += len(old)

    def _time(self, timestamp: int, now: float) -> None:
        transit = now - timestamp / _RATE
        if self._transit is not None:
            apart = abs(transit - self._transit)
            if apart < 2**31 / _RATE:  # a larger difference means that the timestamp has wrapped
                self._jitter += (apart - self._jitter) / 16
        self._transit = transit
