"""The quality of a received RTP stream (RFC 3550 appendix A.3 and A.8).

The quality consists of the numbers of received, lost and late packets, and of the jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.rtp.packet import RtpPacket

_RATE: Final = 8000
_FAR: Final = 3000
"""The largest change of the sequence number within one RTP stream (MAX_DROPOUT in RFC 3550).

A larger change means that the sender has started a new stream.
"""


@dataclass(frozen=True, slots=True)
class ReceptionQuality:
    """The quality with which one party received media: numbers of packets, and the jitter."""

    received: int = 0
    """The number of packets received, without duplicates."""
    lost: int = 0
    """The number of packets that never arrived, according to gaps in the sequence numbers."""
    late: int = 0
    """The number of late packets.

    A packet is late if it arrives after a packet with a higher sequence number.
    """
    jitter: float = 0.0
    """The present value of the jitter, in seconds.

    Each packet changes it (RFC 3550 section 6.4.1).
    """

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
    """The highest sequence number received, extended beyond 16 bits.

    For each time that the sequence number started again at 0, 65536 is added.
    """
    expected: int
    """The number of packets that the sender sent, from the first sequence number to the highest."""
    received: int
    jitter: int
    """The jitter in RTP timestamp units of 1/8000 s."""


class ReceptionCounter:
    """Counts the packets that one side of a call receives.

    A new SSRC starts a new stream. The counts include the packets of all streams.
    """

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._first = 0
        self._highest = 0
        self._received_of_source = 0
        """The number of packets received with the SSRC that the peer uses now."""
        self._missing: set[int] = set()
        """The extended sequence numbers of the packets that have not arrived.

        Only the newest `_FAR` sequence numbers are included.
        """
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
        """Count a packet that arrived at the monotonic time `now`, in seconds.

        Do not use this method for the packets of a DTMF digit, because all of them have the same
        timestamp. Use `count_untimed` for these packets.
        """
        if self._count(packet):
            self._time(packet.timestamp, now)

    def count_untimed(self, packet: RtpPacket) -> None:
        """Count a packet whose timestamp does not show when the packet was sent.

        An example is a packet of a DTMF digit (RFC 4733).
        """
        self._count(packet)

    def _count(self, packet: RtpPacket) -> bool:
        """Count a packet by its sequence number.

        Return True if the packet has a higher sequence number than all packets before it, or if it
        starts a new stream. Otherwise return False.
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
            # If `apart` is larger, it is not jitter: the timestamp has wrapped.
            if apart < 2**31 / _RATE:
                self._jitter += (apart - self._jitter) / 16
        self._transit = transit
