"""Reads RTCP sender reports (RFC 3550 section 6.4.1).

A report shows which RTP timestamp belongs to which time of the sender's own clock, and which report
of the other party its sender has received last.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

_HEADER = struct.Struct(">BBHIQI")
_BLOCKS_AT = 28
_BLOCK = struct.Struct(">16xII")
_VERSION = 2
_SENDER_REPORT = 200
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """A report block's answer to the report `name` of another party (LSR).

    It arrived there `after_us` before this report was sent (DLSR).
    """

    name: int
    after_us: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The stream's RTP timestamp at `sent_us`, by the sender's clock in µs since 1900 (NTP).

    Replies name the report by the middle 32 bits of the NTP time.
    """

    ssrc: int
    sent_us: int
    timestamp: int
    name: int = 0
    replies: tuple[Reply, ...] = ()

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Self | None:
        """Return the sender report with which an RTCP datagram begins (RFC 3550 section 6.1).

        None if there is none, or if the sender has no clock, so that the time is 0.
        """
        if len(data) < _HEADER.size:
            return None
        first, kind, words, ssrc, ntp, timestamp = _HEADER.unpack_from(data)
        if first >> 6 != _VERSION or kind != _SENDER_REPORT or not ntp:
            return None
        end = min(len(data), 4 * (words + 1), _BLOCKS_AT + (first & 0x1F) * _BLOCK.size)
        replies = (
            _BLOCK.unpack_from(data, at)
            for at in range(_BLOCKS_AT, end - _BLOCK.size + 1, _BLOCK.size)
        )
        return cls(
            ssrc,
            ntp * _US >> 32,
            timestamp,
            ntp >> 16 & 0xFFFFFFFF,
            tuple(Reply(name, delay * _US >> 16) for name, delay in replies if name),
        )
