"""A message that must be sent, and its next hop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from telephony.sip.transport.address import Address
from telephony.sip.transport.local_addresses import LocalAddress


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send from `local`, as a datagram if `destination` is UDP."""

    data: bytes
    destination: Address
    local: Address
    fallback: Address | None = None
    """The address if no connection to `destination` is open; None to open one.

    One that the peer opened (`destination.flow` is not 0) cannot be opened again: nothing is sent.
    """


class NextHop(NamedTuple):
    """Destination, our local address and fallback (as in `OutgoingMessage`) of a message."""

    destination: Address
    local: LocalAddress
    fallback: Address | None = None

    def message(self, data: bytes) -> OutgoingMessage:
        """Return a message with these bytes, to be sent to this hop."""
        return OutgoingMessage(data, self.destination, self.local.address, self.fallback)
