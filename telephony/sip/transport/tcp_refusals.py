"""The peers that refused TCP, to which long requests go as datagrams (RFC 3261 section 18.1.1)."""

from __future__ import annotations

from typing import Final

from telephony.sip.transport.address import Address

_REMEMBERED: Final = 600.0
"""In seconds."""
_MAX_REMEMBERED: Final = 1000


class TcpRefusals:
    """The peers that refused TCP in the last ten minutes, by their UDP addresses."""

    def __init__(self) -> None:
        """Make an empty collection of peers."""
        self._until: dict[Address, float] = {}

    def add(self, peer: Address, now: float) -> None:
        """Remember that this peer has refused TCP: for ten minutes, it gets only datagrams."""
        if len(self._until) >= _MAX_REMEMBERED:
            self._until.clear()
        self._until[peer] = now + _REMEMBERED

    def has(self, peer: Address, now: float) -> bool:
        """Return whether this peer has refused TCP in the last ten minutes."""
        return self._until.get(peer, now) > now
