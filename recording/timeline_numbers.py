"""Sequence numbers of one stream, as they count on: they never wrap, and never stand still."""

from __future__ import annotations

_MODULUS = 1 << 16


class Numbering:
    """Numbers its packets, even those of a sender that gives all of them one number."""

    def __init__(self) -> None:
        self.last: tuple[int, ...] = ()
        """The fixed header of the packet that came last."""
        self._added = 0

    def number(self, head: tuple[int, ...], near: int | None) -> int:
        """The number of the packet that came, the nearest to `near` that its own may stand for.

        A packet that came twice has the timestamp that it had. With another one it is another
        packet, and so from here on all are counted one higher.
        """
        if self.last and head[2] == self.last[2] and head[3] != self.last[3]:
            self._added += 1
        self.last = head
        number = (head[2] + self._added) % _MODULUS
        if near is None:
            return number
        return near + (number - near + _MODULUS // 2) % _MODULUS - _MODULUS // 2
