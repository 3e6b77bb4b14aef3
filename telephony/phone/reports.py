"""RTCP of one call (RFC 3550 6): our reports of both directions, and the peer's of ours."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from telephony.phone.outbox import Outbox
from telephony.phone.reception import ReceptionCounter
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
"""Units a second of the short NTP format."""


@dataclass(frozen=True, slots=True)
class PeerReport:
    """How well our media arrives, as the peer said last."""

    loss: float
    """The share that was lost since its report before, 0 to 1."""
    lost: int
    """Packets, since the beginning; negative where some came twice."""
    jitter: float
    """Seconds."""
    round_trip: float | None
    """Seconds; None until the peer has had a report of ours."""


class Reports:
    """Writes and reads the reports of one stream."""

    def __init__(self) -> None:
        self.peer: PeerReport | None = None
        self._name = secrets.token_hex(8)
        """Our CNAME: random, and so nobody's (RFC 7022)."""
        self._expected = 0
        self._received = 0
        self._of: int | None = None
        """The SSRC that the two are of, at our report before."""
        self._sent = 0
        """Packets of ours, at our report before."""
        self._heard: tuple[int, float] | None = None
        """The peer's last sender report, and when it came."""

    def write(self, outbox: Outbox, heard: ReceptionCounter, wall: float, now: float) -> bytes:
        """Our report: of what we have sent, if anything since the last, and of what came.

        Args:
            outbox: what we send.
            heard: what came.
            wall: now, in seconds since 1970.
            now: in seconds, by the clock of `read`.
        """
        blocks = self._blocks(heard, now)
        sent, self._sent = outbox.sent != self._sent, outbox.sent
        if not sent:
            return receiver_report(outbox.ssrc, self._name, blocks)
        return sender_report(
            outbox.ssrc,
            wall,
            timestamp=outbox.timestamp,
            packets=outbox.sent & 0xFFFFFFFF,
            octets=outbox.octets & 0xFFFFFFFF,
            name=self._name,
            blocks=blocks,
        )

    def end(self, outbox: Outbox) -> bytes:
        """Our last: an empty report, and BYE."""
        return receiver_report(outbox.ssrc, self._name) + goodbye(outbox.ssrc)

    def read(self, data: bytes, outbox: Outbox, wall: float, now: float) -> None:
        """Take a compound of the peer's.

        Raises:
            RtpParseError: it cannot be read.
        """
        for packet in parse_compound(data):
            if packet.sent_at is not None:
                self._heard = packet.sent_at, now
            for block in packet.reports():
                if block.ssrc == outbox.ssrc:
                    self.peer = _told(block, wall)

    def _blocks(self, heard: ReceptionCounter, now: float) -> tuple[ReportBlock, ...]:
        source = heard.source
        if source is None:
            return ()
        if source.ssrc != self._of or source.expected < self._expected:
            self._of, self._expected, self._received = source.ssrc, 0, 0
        expected, received = source.expected - self._expected, source.received - self._received
        self._expected, self._received = source.expected, source.received
        lost = max(0, expected - received)
        last, came = self._heard or (0, now)
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


def _told(block: ReportBlock, wall: float) -> PeerReport:
    trip = None
    if block.last_sender_report:
        ticks = short_time(wall) - block.last_sender_report - block.delay & 0xFFFFFFFF
        trip = ticks / _SHORT if ticks < 2**31 else 0.0  # less than nothing: the clocks' grain
    return PeerReport(block.fraction_lost / 256, block.lost, block.jitter / _RATE, trip)
