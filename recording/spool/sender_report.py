"""Reads RTCP sender reports (RFC 3550 section 6.4.1).

A sender report shows which RTP timestamp belongs to which time of the sender's own clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

_HEADER = struct.Struct(">BBHIQI")
_VERSION = 2
_SENDER_REPORT = 200
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The times in a sender report.

    Attributes:
        ssrc: The stream that the report is about.
        sent_us: The time of the report by the sender's clock, in µs since 1900 (NTP).
        timestamp: The RTP timestamp of the stream at this time.
    """

    ssrc: int
    sent_us: int
    timestamp: int

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Self | None:
        """Return the sender report at the start of an RTCP datagram.

        A compound RTCP packet begins with the report, if there is one (RFC 3550 section 6.1).
        Return None if there is none, or if the sender has no clock, so that the time is 0.
        """
        if len(data) < _HEADER.size:
            return None
        first, kind, _, ssrc, ntp, timestamp = _HEADER.unpack_from(data)
        if first >> 6 != _VERSION or kind != _SENDER_REPORT or not ntp:
            return None
        return cls(ssrc, ntp * _US >> 32, timestamp)
