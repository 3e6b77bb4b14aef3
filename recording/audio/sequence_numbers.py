"""The sequence numbers of one stream, extended so that they never wrap and never repeat."""

from __future__ import annotations

_MODULUS = 1 << 16


class SequenceExtender:
    """Numbers a stream's packets, even if their sender gives all of them the same number."""

    def __init__(self) -> None:
        self.last: tuple[int, ...] = ()
        """The fixed header of the packet that was received last; empty before the first."""
        self._added = 0

    def extend(self, head: tuple[int, ...], near: int | None) -> int:
        """Return the extended number of the received packet with this fixed header.

        Of all extended numbers that fit its sequence number, this is the one nearest to `near`.
        Without `near` it is the 16-bit number itself.

        A duplicate has the sequence number and the timestamp of the last packet. A packet with the
        same number but another timestamp is a new packet: it and all later ones are counted one
        higher.
        """
        if self.last and head[2] == self.last[2] and head[3] != self.last[3]:
            self._added += 1
        self.last = head
        number = (head[2] + self._added) % _MODULUS
        if near is None:
            return number
        return near + (number - near + _MODULUS // 2) % _MODULUS - _MODULUS // 2
