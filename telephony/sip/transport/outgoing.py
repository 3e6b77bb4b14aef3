"""A message to be sent, and its next hop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from telephony.sip.transport.address import Address
from telephony.sip.transport.local_addresses import LocalAddress


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to be sent from `local`: as a datagram, or over a connection."""

    data: bytes
    destination: Address
    local: Address
    fallback: Address | None = None
    """The address to connect to if no connection to `destination` is open; None for no fallback."""


class NextHop(NamedTuple):
    """The next hop of a message: where it goes, from which local address, with which fallback.

    `fallback` is as in `OutgoingMessage`.
    """

    destination: Address
    local: LocalAddress
    fallback: Address | None = None

    def message(self, data: bytes) -> OutgoingMessage:
        """Return the message to be sent to this hop."""
        return OutgoingMessage(data, self.destination, self.local.address, self.fallback)
