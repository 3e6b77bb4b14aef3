"""Bursts: the packets of one media frame, handled together when all have the same size.

Most frames are like this. A burst has the same meaning as its packets one by one. It exists because
an hour of a call has 360,000 packets, and Python takes longer to look at each than to encode the
audio.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recording.spool.format import PACKET
from recording.spool.records import PacketRecord

RTP_HEADER = 12
_MOST_US = 1 << 62
_FEWEST = 8
"""With fewer packets a burst is not worth its cost."""


@dataclass(frozen=True, slots=True)
class BurstRecord:
    """Packets of one length, in the order of their arrival."""

    at_us: NDArray[np.int64]
    track: NDArray[np.uint8]
    data: NDArray[np.uint8]
    """One row for each packet."""

    def packets(self) -> Iterator[PacketRecord]:
        """Yield the packets one by one."""
        for at_us, track, data in zip(
            self.at_us.tolist(), self.track.tolist(), self.data, strict=True
        ):
            yield PacketRecord(at_us, track, data.tobytes())


def unpack_burst(from_us: int, plaintext: bytes) -> BurstRecord | None:
    """Return the packets of a media frame; None when they are few or differ in length."""
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
    """The part of a burst that belongs to one track."""

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
        """Return the SSRC of one packet."""
        return self._words[index][2]

    def head(self, index: int) -> tuple[int, int, int, int, int]:
        """Return the fixed header of one packet: flags, payload type, sequence, timestamp, SSRC."""
        first, timestamp, ssrc = self._words[index]
        return first >> 24, first >> 16 & 0xFF, first & 0xFFFF, timestamp, ssrc

    def datagram(self, index: int) -> bytes:
        """Return one whole packet."""
        return b"".join((self._heads[index].tobytes(), self._payload[index].tobytes()))

    def rtp_payload(self, start: int, end: int) -> bytes:
        """Return the RTP payloads of packets `start` to `end` (exclusive), joined."""
        joined: bytes = self._payload[start:end].tobytes()
        return joined

    def consecutive(self, start: int) -> int:
        """Return how many packets from `start` on follow their predecessor without a break.

        That is: the sequence number is one higher and does not wrap among them, and the timestamp
        grows by one sample for each byte. The packet at `start` is counted.
        """
        at = bisect_right(self._breaks, start)
        end = self._breaks[at] if at < len(self._breaks) else len(self.at_us)
        return min(end - start, 0x10000 - (self._words[start][0] & 0xFFFF))
