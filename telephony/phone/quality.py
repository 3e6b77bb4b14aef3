"""The quality of a call's media: our counts of what we receive, and the RTCP of both sides.

See RFC 3550 section 6 (RTCP), and appendix A.3 and A.8 (lost packets and jitter).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from telephony.phone.rtp_sender import RtpSender
from telephony.rtp.packet import RtpPacket
from telephony.rtp.rtcp import (
    ReportBlock,
    goodbye,
    parse_compound,
    receiver_report,
    sender_report,
    short_time,
)

_RATE: Final = 8000
_FAR: Final = 3000
"""The largest gap of the sequence number within one stream (MAX_DROPOUT in RFC 3550)."""
_SHORT: Final = 65_536
"""A short NTP time (32 bits) counts in units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class ReceptionQuality:
    """The quality of the media that one party has received."""

    received: int = 0
    """Packets received, without duplicates."""
    lost: int = 0
    """Packets that have not arrived, according to gaps in the sequence numbers."""
    late: int = 0
    """Packets that arrived after one with a higher sequence number."""
    jitter: float = 0.0
    """The interarrival jitter of audio packets in seconds (RFC 3550 section 6.4.1)."""

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
    """The number of packets from the first received sequence number to the highest."""
    received: int
    jitter: int
    """In RTP timestamp units of 1/8000 s."""


class ReceptionCounter:
    """Counts the packets that one side of a call receives.

    `now` is for all streams (SSRCs) together, `source` only for the present stream.
    """

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._first = 0
        self._highest = 0
        self._received_of_source = 0
        """Packets received with the SSRC that the peer uses now."""
        self._missing: set[int] = set()
        """The extended sequence numbers that have not arrived, among the newest `_FAR`."""
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
        """Count an audio packet that arrived at `now` (monotonic seconds)."""
        if self._count(packet):
            self._time(packet.timestamp, now)

    def count_untimed(self, packet: RtpPacket) -> None:
        """Count a packet whose timestamp is not its time of sending: a DTMF digit (RFC 4733)."""
        self._count(packet)

    def _count(self, packet: RtpPacket) -> bool:
        """Count a packet; return True if its number is the highest or it begins a new stream."""
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
            # A larger difference is not jitter: the timestamp has wrapped.
            if apart < 2**31 / _RATE:
                self._jitter += (apart - self._jitter) / 16
        self._transit = transit


@dataclass(frozen=True, slots=True)
class PeerReport:
    """The quality of our media at the peer, according to the peer's most recent RTCP report."""

    loss: float
    """The share of lost packets since the peer's previous report, from 0 to 1."""
    lost: int
    """The lost packets since the first packet; can be negative if packets arrived twice."""
    jitter: float
    """In seconds."""
    round_trip: float | None
    """To the peer and back, in seconds; None until the peer has received our sender report."""


class Reports:
    """Writes our RTCP reports for one media stream, and reads the reports of the peer."""

    def __init__(self) -> None:
        self.peer: PeerReport | None = None
        self._name = secrets.token_hex(8)
        """Our CNAME (RFC 7022). It is random, so that it identifies no person."""
        self._expected = 0
        self._received = 0
        self._source_ssrc: int | None = None
        """The SSRC in our previous report block; None before the first.

        `_expected` and `_received` are the counts of this SSRC at the time of that block.
        """
        self._sent = 0
        """Packets that we had sent when we wrote our previous report."""
        self._last_sr: tuple[int, float] | None = None
        """NTP time (middle 32 bits) and arrival of the peer's latest sender report, or None."""

    def write(self, sender: RtpSender, heard: ReceptionCounter, wall: float, now: float) -> bytes:
        """Return a sender report if we sent RTP since the previous report, else a receiver report.

        `wall` is in seconds since 1970; `now` is monotonic seconds, by the same clock as in `read`.
        """
        blocks = self._blocks(heard, now)
        sent, self._sent = sender.sent != self._sent, sender.sent
        if not sent:
            return receiver_report(sender.ssrc, self._name, blocks)
        return sender_report(
            sender.ssrc,
            wall,
            timestamp=sender.timestamp,
            packets=sender.sent & 0xFFFFFFFF,
            octets=sender.octets & 0xFFFFFFFF,
            name=self._name,
            blocks=blocks,
        )

    def end(self, sender: RtpSender) -> bytes:
        """Return the final RTCP packet: a receiver report without a report block, and a BYE."""
        return receiver_report(sender.ssrc, self._name) + goodbye(sender.ssrc)

    def read(self, data: bytes, sender: RtpSender, wall: float, now: float) -> None:
        """Read compound RTCP; `wall` is Unix seconds, `now` monotonic. Raises `RtpParseError`."""
        for packet in parse_compound(data):
            if packet.sent_at is not None:
                self._last_sr = packet.sent_at, now
            for block in packet.reports():
                if block.ssrc == sender.ssrc:
                    self.peer = _peer_report(block, wall)

    def _blocks(self, heard: ReceptionCounter, now: float) -> tuple[ReportBlock, ...]:
        source = heard.source
        if source is None:
            return ()
        if source.ssrc != self._source_ssrc or source.expected < self._expected:
            self._source_ssrc, self._expected, self._received = source.ssrc, 0, 0
        expected, received = source.expected - self._expected, source.received - self._received
        self._expected, self._received = source.expected, source.received
        lost = max(0, expected - received)
        last, came = self._last_sr or (0, now)
        block = ReportBlock(
            ssrc=source.ssrc,
            fraction_lost=min(255, lost * 256 // expected) if expected else 0,
            lost=source.expected - source.received,
            highest_sequence=source.highest,
            jitter=source.jitter,
            last_sender_report=last,
            delay=round((now - came) * _SHORT),
        )
        return (block,)


def _peer_report(block: ReportBlock, wall: float) -> PeerReport:
    trip = None
    if block.last_sender_report:
        ticks = short_time(wall) - block.last_sender_report - block.delay & 0xFFFFFFFF
        # The times are rounded, so a very short round trip can give a negative number of ticks.
        # `ticks` is then 2**31 or more.
        trip = ticks / _SHORT if ticks < 2**31 else 0.0
    return PeerReport(block.fraction_lost / 256, block.lost, block.jitter / _RATE, trip)
