"""Extended sequence numbers: the sequence numbers of one RTP stream, which never wrap or repeat."""

from __future__ import annotations

_MODULUS = 1 << 16


class SequenceExtender:
    """Computes the extended sequence number of each packet of a stream.

    This is also possible if the sender gives the same sequence number to all packets.
    """

    def __init__(self) -> None:
        self.last: tuple[int, ...] = ()
        """The fixed RTP header of the packet that was received most recently.

        The tuple is empty before the first packet.
        """
        self._added = 0

    def extend(self, head: tuple[int, ...], near: int | None) -> int:
        """Return the extended sequence number of the received packet with this fixed RTP header.

        Many extended numbers fit a 16-bit sequence number. The result is the one that is nearest to
        `near`. If `near` is None, the result is the 16-bit number itself.

        A packet with the sequence number and the timestamp of the last packet is a duplicate. A
        packet with the same sequence number but another timestamp is a new packet. In this case 1
        is added to its number and to the numbers of all later packets.
        """
        if self.last and head[2] == self.last[2] and head[3] != self.last[3]:
            self._added += 1
        self.last = head
        number = (head[2] + self._added) % _MODULUS
        if near is None:
            return number
        return near + (number - near + _MODULUS // 2) % _MODULUS - _MODULUS // 2
