"""The peers that refused TCP. Long requests to them are sent as datagrams.

See RFC 3261 section 18.1.1.
"""

from __future__ import annotations

from typing import Final

from telephony.sip.transport.address import Address

_REMEMBERED: Final = 600.0
"""The time in seconds for which we use only datagrams to a peer that refused TCP."""
_MAX_REMEMBERED: Final = 1000


class TcpRefusals:
    """The peers that refused TCP in the last ten minutes."""

    def __init__(self) -> None:
        """Make an empty collection of peers."""
        self._until: dict[Address, float] = {}

    def add(self, peer: Address, now: float) -> None:
        """Remember that this peer has refused TCP.

        For ten minutes, we then send all requests to this peer as datagrams. `peer` is the UDP
        address of the peer.
        """
        if len(self._until) >= _MAX_REMEMBERED:
            self._until.clear()
        self._until[peer] = now + _REMEMBERED

    def has(self, peer: Address, now: float) -> bool:
        """Return whether this peer has refused TCP in the last ten minutes.

        `peer` is the UDP address of the peer.
        """
        return self._until.get(peer, now) > now
