"""Extends the 16-bit sequence numbers of one RTP stream to numbers that do not wrap."""

from __future__ import annotations

_MODULUS = 1 << 16


class SequenceExtender:
    """Computes the extended sequence number of each packet of a stream.

    If the sender gives the same sequence number to all packets, the extended numbers still differ.
    """

    def __init__(self) -> None:
        self.last: tuple[int, ...] = ()
        """The fixed RTP header of the packet that was received most recently.

        The tuple is empty before the first packet.
        """
        self._added = 0

    def extend(self, head: tuple[int, ...], near: int | None) -> int:
        """Return the extended sequence number of a packet. `head` is the packet's fixed RTP header.

        Many extended numbers belong to the same 16-bit sequence number. The result is the extended
        number that is nearest to `near`. If `near` is None, the result is the 16-bit number.

        If the packet has the same sequence number as the packet received before it, but another
        timestamp, it is a new packet. The sender should have given it the next sequence number.
        Therefore 1 is added to the sequence numbers of this packet and of all later packets. If
        the timestamp is also the same, the packet is a duplicate, and nothing is added.
        """
        if self.last and head[2] == self.last[2] and head[3] != self.last[3]:
            self._added += 1
        self.last = head
        number = (head[2] + self._added) % _MODULUS
        if near is None:
            return number
        return near + (number - near + _MODULUS // 2) % _MODULUS - _MODULUS // 2
