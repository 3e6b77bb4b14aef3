"""Packets of one stream that are not laid yet: those that wait for others, and strays.

Neither decides anything about them; that is the matter of `recording.timeline_stream`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from recording.timeline_clock import Packet

HOLD_US = 400_000
"""So long a packet waits for those before it, and a stray for its like."""
_NEAR = 3000
_MOST = 2000
"""What a network held back for ten seconds, of 5 ms each, comes all at once."""


class Queue:
    """Packets in the order of their numbers, each number once."""

    def __init__(self) -> None:
        self.since_us = 0
        """When the first of them came."""
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
        """Whether no more should wait."""
        return len(self._heap) > _MOST

    @property
    def first(self) -> Packet:
        """The one with the lowest number; there must be one."""
        return self._heap[0]

    def push(self, packet: Packet) -> None:
        """Take one whose number is not there yet."""
        if not self._heap:
            self.since_us = packet.at_us
        heapq.heappush(self._heap, packet)
        self._numbers.add(packet.sequence)

    def pop(self) -> Packet:
        """Give the first."""
        packet = heapq.heappop(self._heap)
        self._numbers.discard(packet.sequence)
        return packet


class Strays:
    """Packets whose numbers are far from what is next, in the order of arrival.

    They are of long ago, or the sender has begun to count anew; what comes next tells.
    """

    def __init__(self) -> None:
        self._came: list[Packet] = []

    def __len__(self) -> int:
        return len(self._came)

    def add(self, packet: Packet) -> None:
        """Take one."""
        self._came.append(packet)

    def is_a_beginning(self, now_us: int) -> bool:
        """Whether nothing else came for so long that they are the stream now."""
        came = self._came
        return bool(came) and (now_us - came[0].at_us >= HOLD_US or len(came) > _MOST)

    def take(self) -> list[Packet]:
        """Give all of them."""
        came, self._came = self._came, []
        return came

    def take_alike(self) -> tuple[list[Packet], int]:
        """Give those whose numbers are near the last one's, and say how many others there were."""
        came = self.take()
        last = came[-1].sequence
        alike = [p for p in came if (p.sequence - last + _NEAR) & 0xFFFF < 2 * _NEAR]
        return alike, len(came) - len(alike)
