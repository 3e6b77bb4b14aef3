"""Packets of one stream that are not on the track yet: those that wait for others, and strays.

These classes only store packets; `recording.audio.rtp_stream` decides about them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from recording.audio.stream_clock import Packet

HOLD_US = 400_000
"""The time for which a packet waits for those before it, and a stray for others like it."""
_NEAR = 3000
_MOST = 2000
"""The most packets that wait: ten seconds of 5 ms packets that a network held back."""


class PacketQueue:
    """Packets in the order of their numbers, each number once."""

    def __init__(self) -> None:
        self.since_us = 0
        """The arrival time of the packet that was the first to wait."""
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
        """True if no more packets should wait."""
        return len(self._heap) > _MOST

    @property
    def first(self) -> Packet:
        """The packet with the lowest number. The queue must not be empty."""
        return self._heap[0]

    def push(self, packet: Packet) -> None:
        """Add a packet, whose number must not be in the queue yet."""
        if not self._heap:
            self.since_us = packet.at_us
        heapq.heappush(self._heap, packet)
        self._numbers.add(packet.sequence)

    def pop(self) -> Packet:
        """Remove and return the packet with the lowest number."""
        packet = heapq.heappop(self._heap)
        self._numbers.discard(packet.sequence)
        return packet


class Strays:
    """Packets whose numbers are far from the next expected one, in the order of arrival.

    Either they are very late, or the sender has restarted its numbering; later packets show which.
    """

    def __init__(self) -> None:
        self._came: list[Packet] = []

    def __len__(self) -> int:
        return len(self._came)

    def add(self, packet: Packet) -> None:
        """Add a packet."""
        self._came.append(packet)

    def is_a_beginning(self, now_us: int) -> bool:
        """Return whether the strays are a new beginning of the stream.

        They are if no other packet was received for `HOLD_US` since the first stray, or if there
        are too many of them.
        """
        came = self._came
        return bool(came) and (now_us - came[0].at_us >= HOLD_US or len(came) > _MOST)

    def take(self) -> list[Packet]:
        """Remove and return all strays."""
        came, self._came = self._came, []
        return came

    def take_alike(self) -> tuple[list[Packet], int]:
        """Remove all strays; return those with numbers near the last one's, and how many others."""
        came = self.take()
        last = came[-1].sequence
        alike = [p for p in came if (p.sequence - last + _NEAR) & 0xFFFF < 2 * _NEAR]
        return alike, len(came) - len(alike)
