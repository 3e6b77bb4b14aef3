"""Bursts: the packets of one media frame as arrays, if all these packets have the same length.

Most media frames are like this. One hour of a call has 360,000 packets, and a Python loop over them
takes longer than the encoding of the audio. A burst and its single packets give the same audio.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recording.spool.format import PACKET, PacketRecord

RTP_HEADER = 12
_MOST_US = 1 << 62
_FEWEST = 8
"""The fewest packets of a burst; fewer packets are decoded faster one by one."""


@dataclass(frozen=True, slots=True)
class BurstRecord:
    """The packets of one media frame, all of the same length, in the order of their arrival.

    Each array has one entry for each packet. `at_us` are arrivals in µs since the spool's start.
    """

    at_us: NDArray[np.int64]
    track: NDArray[np.uint8]
    data: NDArray[np.uint8]
    """The datagrams: each row is one packet, each column one byte."""

    def packets(self) -> Iterator[PacketRecord]:
        """Yield each packet as a `PacketRecord`."""
        for at_us, track, data in zip(
            self.at_us.tolist(), self.track.tolist(), self.data, strict=True
        ):
            yield PacketRecord(at_us, track, data.tobytes())


def unpack_burst(from_us: int, plaintext: bytes) -> BurstRecord | None:
    """Return the packets in a media frame's plaintext; None if it is not fit for a burst.

    `from_us` is the arrival of the frame's earliest packet, in µs since the spool's start.
    """
    if len(plaintext) < PACKET.size:
        return None
    length = PACKET.unpack_from(plaintext)[2]
    count, rest = divmod(len(plaintext), PACKET.size + length)
    if rest or count < _FEWEST or length < RTP_HEADER or from_us >= _MOST_US:
        return None
    row = [("delta", ">u4"), ("track", "u1"), ("length", ">u4"), ("data", "u1", (length,))]
    rows = np.frombuffer(plaintext, dtype=row)
    if (rows["length"] != length).any():
        return None
    return BurstRecord(rows["delta"].astype(np.int64) + from_us, rows["track"], rows["data"])


class TrackBurst:
    """The packets of a burst on one track, by their index: 0 for the first packet to arrive."""

    def __init__(self, at_us: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        self.length = data.shape[1]
        self.at_us: list[int] = at_us.tolist()
        self._payload = np.ascontiguousarray(data[:, RTP_HEADER:])
        heads = np.ascontiguousarray(data[:, :RTP_HEADER])
        words = heads.view(">u4").astype(np.uint32)
        self._heads = heads
        self._words: list[list[int]] = words.tolist()
        step = np.array([1, self.length - RTP_HEADER, 0], dtype=np.uint32)
        apart = ((words[1:] - words[:-1]) != step).any(axis=1)
        self._breaks: list[int] = (np.flatnonzero(apart) + 1).tolist()

    def __len__(self) -> int:
        return len(self.at_us)

    def ssrc(self, index: int) -> int:
        """Return the SSRC of the packet at `index`."""
        return self._words[index][2]

    def head(self, index: int) -> tuple[int, int, int, int, int]:
        """Return flags, marker with payload type, sequence number, timestamp and SSRC."""
        first, timestamp, ssrc = self._words[index]
        return first >> 24, first >> 16 & 0xFF, first & 0xFFFF, timestamp, ssrc

    def datagram(self, index: int) -> bytes:
        """Return the whole packet at `index`."""
        return b"".join((self._heads[index].tobytes(), self._payload[index].tobytes()))

    def rtp_payload(self, start: int, end: int) -> bytes:
        """Return the joined RTP payloads of the packets from `start` to `end` - 1."""
        joined: bytes = self._payload[start:end].tobytes()
        return joined

    def consecutive(self, start: int) -> int:
        """Return the number of consecutive packets from the packet at `start` on, including it.

        A consecutive packet has the next sequence number, a timestamp that is higher by the bytes
        in one RTP payload, and otherwise the same header. The count ends after sequence number
        65,535.
        """
        at = bisect_right(self._breaks, start)
        end = self._breaks[at] if at < len(self._breaks) else len(self.at_us)
        return min(end - start, 0x10000 - (self._words[start][0] & 0xFFFF))
