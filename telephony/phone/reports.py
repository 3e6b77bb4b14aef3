"""The RTCP of one call (RFC 3550 section 6): our reports, and the peer's on our media."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from telephony.phone.reception import ReceptionCounter
from telephony.phone.rtp_sender import RtpSender
from telephony.rtp.rtcp import (
    ReportBlock,
    goodbye,
    parse_compound,
    receiver_report,
    sender_report,
    short_time,
)

_RATE: Final = 8000
_SHORT: Final = 65_536
"""A short NTP time (32 bits) counts in units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class PeerReport:
    """The quality of our media at the peer, according to the peer's most recent RTCP report."""

    loss: float
    """The share of lost packets since the peer's previous report, from 0 to 1."""
    lost: int
    """Since the first packet; negative if packets arrived twice."""
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
        """The SSRC in our previous report about the received media; None if there was none.

        `_expected` and `_received` are the numbers of its packets expected and arrived by then.
        """
        self._sent = 0
        """Packets that we had sent when we wrote our previous report."""
        self._last_sr: tuple[int, float] | None = None
        """NTP time (middle 32 bits) and arrival of the peer's latest sender report, or None."""

    def write(self, sender: RtpSender, heard: ReceptionCounter, wall: float, now: float) -> bytes:
        """Return an RTCP report on what we receive and, if we have sent media since, on that.

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
        """Read a compound RTCP packet; `wall` is in seconds since 1970, `now` monotonic seconds.

        Raises:
            RtpParseError: The packet cannot be read.
        """
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
