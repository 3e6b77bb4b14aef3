"""Stores the packets of one stream until they are written to the track, the lowest number first.

`recording.audio.rtp_stream` decides when a packet is written.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from recording.audio.stream_clock import Packet

HOLD_US = 400_000
"""The time in µs for which a packet waits for packets with lower sequence numbers.

A stray can wait for this time too. In the state `LAGGING` of a stream, packets wait longer.
"""
_NEAR = 3000
_MODULUS = 1 << 16
_MOST = 2000
"""The most packets in a `PacketQueue`, and in `Strays`.

With packets of 5 ms, these are ten seconds of audio, which a network can deliver at once.
"""


class PacketQueue:
    """Waiting packets by extended sequence number, each only once. Iteration has no order."""

    def __init__(self) -> None:
        self.since_us = 0
        """The arrival (µs) of the first packet that was added since the queue was empty."""
        self._heap: list[Packet] = []
        self._numbers: set[int] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Packet]:
        return iter(self._heap)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    @property
    def is_full(self) -> bool:
        """True if more than `_MOST` packets are waiting."""
        return len(self._heap) > _MOST

    @property
    def first(self) -> Packet:
        """The packet with the lowest sequence number. The queue must not be empty."""
        return self._heap[0]

    def push(self, packet: Packet) -> None:
        """Add a packet whose sequence number is not in the queue yet."""
        if not self._heap:
            self.since_us = packet.at_us
        heapq.heappush(self._heap, packet)
        self._numbers.add(packet.sequence)

    def pop(self) -> Packet:
        """Remove and return the packet with the lowest sequence number."""
        packet = heapq.heappop(self._heap)
        self._numbers.discard(packet.sequence)
        return packet


class Strays:
    """Packets whose numbers do not continue those of the stream, sorted by their arrival.

    They are very late, or the sender has jumped to new sequence numbers. Later packets show which.
    """

    def __init__(self) -> None:
        self._came: list[Packet] = []

    def __len__(self) -> int:
        return len(self._came)

    def add(self, packet: Packet) -> None:
        """Add a packet that arrived after the others."""
        self._came.append(packet)

    def is_a_beginning(self, now_us: int) -> bool:
        """Return True if the packets show that the sender has jumped to new sequence numbers.

        The first stray must have arrived at least `HOLD_US` before, or there must be more than
        `_MOST` strays. `RtpStream` removes all strays when a packet arrives that is no stray, so
        only strays have arrived since the first.
        """
        came = self._came
        return bool(came) and (now_us - came[0].at_us >= HOLD_US or len(came) > _MOST)

    def take(self) -> list[Packet]:
        """Remove all packets and return them."""
        came, self._came = self._came, []
        return came

    def take_alike(self) -> tuple[list[Packet], int]:
        """Remove all packets. Return the packets with new numbers, and the count of the rest.

        A sequence number is new if it is near the number of the packet that arrived last.
        """
        came = self.take()
        last = came[-1].sequence
        alike = [p for p in came if (p.sequence - last + _NEAR) & 0xFFFF < 2 * _NEAR]
        return alike, len(came) - len(alike)


class SequenceExtender:
    """Computes extended sequence numbers, which differ even if the sender repeats one number."""

    def __init__(self) -> None:
        self.last: tuple[int, ...] = ()
        """The fixed RTP header of the latest received packet; empty before the first packet."""
        self._added = 0

    def extend(self, head: tuple[int, ...], near: int | None) -> int:
        """Return the extended sequence number nearest to `near` (None: the 16-bit number).

        A packet with the sequence number of the packet before it, but another timestamp, is a new
        packet. The sender should have given it the next number, so 1 is added from here on. If the
        timestamp is the same too, it is a duplicate. `head` is the fixed RTP header.
        """
        if self.last and head[2] == self.last[2] and head[3] != self.last[3]:
            self._added += 1
        self.last = head
        number = (head[2] + self._added) % _MODULUS
        if near is None:
            return number
        return near + (number - near + _MODULUS // 2) % _MODULUS - _MODULUS // 2
