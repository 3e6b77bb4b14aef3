"""The quality of a received RTP stream: packets and jitter (RFC 3550 appendix A.3 and A.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.rtp.packet import RtpPacket

_RATE: Final = 8000
_FAR: Final = 3000
"""The largest gap of the sequence number within one stream (MAX_DROPOUT in RFC 3550)."""


@dataclass(frozen=True, slots=True)
class ReceptionQuality:
    """The quality with which one party received media: numbers of packets, and the jitter."""

    received: int = 0
    """Without duplicates."""
    lost: int = 0
    """Packets that never arrived, according to gaps in the sequence numbers."""
    late: int = 0
    """Packets that arrived after one with a higher sequence number."""
    jitter: float = 0.0
    """The present jitter in seconds; each packet changes it (RFC 3550 section 6.4.1)."""

    @property
    def loss(self) -> float:
        """The share of lost packets in all packets, from 0 to 1."""
        expected = self.received + self.lost
        return self.lost / expected if expected else 0.0


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The values for our RTCP report about the newest SSRC (RFC 3550 section 6.4.1)."""

    ssrc: int
    highest: int
    """The highest sequence number received, plus 65536 for each restart at 0."""
    expected: int
    """Packets that the sender sent, from the first sequence number to the highest."""
    received: int
    jitter: int
    """In RTP timestamp units of 1/8000 s."""


class ReceptionCounter:
    """Counts the packets that one side of a call receives, in all streams (SSRCs) together."""

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._first = 0
        self._highest = 0
        self._received_of_source = 0
        """Packets received with the SSRC that the peer uses now."""
        self._missing: set[int] = set()
        """The extended sequence numbers, of the newest `_FAR`, whose packets have not arrived."""
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
        """The counts of the SSRC that the peer uses now; None before the first packet."""
        if self._ssrc is None:
            return None
        expected = self._highest - self._first + 1
        jitter = round(self._jitter * _RATE)
        return SourceCounts(self._ssrc, self._highest, expected, self._received_of_source, jitter)

    def put(self, packet: RtpPacket, now: float) -> None:
        """Count a packet that arrived at `now` (monotonic seconds), but not of a DTMF digit."""
        if self._count(packet):
            self._time(packet.timestamp, now)

    def count_untimed(self, packet: RtpPacket) -> None:
        """Count a packet whose timestamp is not its time of sending: a DTMF digit (RFC 4733)."""
        self._count(packet)

    def _count(self, packet: RtpPacket) -> bool:
        """Count a packet by sequence number; return True for the highest, or a new stream."""
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
            # If `apart` is larger, it is not jitter: the timestamp has wrapped.
            if apart < 2**31 / _RATE:
                self._jitter += (apart - self._jitter) / 16
        self._transit = transit
