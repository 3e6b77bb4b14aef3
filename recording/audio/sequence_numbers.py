"""Extends the 16-bit sequence numbers of one RTP stream to numbers that do not wrap."""

from __future__ import annotations

_MODULUS = 1 << 16


class SequenceExtender:
    """Computes extended sequence numbers, which differ even if the sender repeats one number."""

    def __init__(self) -> None:
        self.last: tuple[int, ...] = ()
        """The fixed RTP header of the packet that was received most recently, or nothing."""
        self._added = 0

    def extend(self, head: tuple[int, ...], near: int | None) -> int:
        """Return the extended sequence number nearest to `near`; the 16-bit one if it is None.

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
