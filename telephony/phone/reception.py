"""The quality of a received stream: lost, late and doubled packets, jitter (RFC 3550 A.3, A.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.rtp.packet import RtpPacket

_RATE: Final = 8000
_FAR: Final = 3000
"""A larger step of the sequence number means that the stream began again (MAX_DROPOUT)."""


@dataclass(frozen=True, slots=True)
class ReceptionQuality:
    """The packets that one party received."""

    received: int = 0
    """Packets received, without duplicates."""
    lost: int = 0
    """Sequence numbers that were skipped and never arrived."""
    late: int = 0
    """Packets that arrived after one with a higher sequence number."""
    jitter: float = 0.0
    """Jitter at the newest packet, in seconds."""

    @property
    def loss(self) -> float:
        """The share of packets that were lost, 0 to 1."""
        expected = self.received + self.lost
        return self.lost / expected if expected else 0.0


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The newest SSRC received, with the counts that RTCP reports (RFC 3550 6.4.1)."""

    ssrc: int
    highest: int
    """The highest sequence number, extended by its wraps."""
    expected: int
    """The number of packets expected from the first to the highest."""
    received: int
    jitter: int
    """Jitter in ticks of 8 kHz."""


class ReceptionCounter:
    """Counts one direction of a call. Each new SSRC is a new stream, added to the totals."""

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._first = 0
        self._highest = 0
        self._received_of_source = 0
        """Packets received from this SSRC."""
        self._missing: set[int] = set()
        """Extended sequence numbers that were skipped, among the newest `_FAR`."""
        self._given_up = 0
        self._received = 0
        self._late = 0
        self._jitter = 0.0
        self._transit: float | None = None

    @property
    def now(self) -> ReceptionQuality:
        """The counts so far."""
        lost = self._given_up + len(self._missing)
        return ReceptionQuality(self._received, lost, self._late, self._jitter)

    @property
    def source(self) -> SourceCounts | None:
        """The source received now; None before the first packet."""
        if self._ssrc is None:
            return None
        expected = self._highest - self._first + 1
        jitter = round(self._jitter * _RATE)
        return SourceCounts(self._ssrc, self._highest, expected, self._received_of_source, jitter)

    def put(self, packet: RtpPacket, now: float) -> None:
        """Count a packet that arrived at `now`, in seconds.

        The packets of one key press share a timestamp; use `count_untimed` for them.
        """
        if self._count(packet):
            self._time(packet.timestamp, now)

    def count_untimed(self, packet: RtpPacket) -> None:
        """Count a packet whose timestamp does not show when it was sent."""
        self._count(packet)

    def _count(self, packet: RtpPacket) -> bool:
        """Count the sequence number; return whether the packet came in order."""
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
            if apart < 2**31 / _RATE:  # otherwise the timestamp has wrapped
                self._jitter += (apart - self._jitter) / 16
        self._transit = transit
