"""A message that must be sent, and its next hop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from telephony.sip.transport.address import Address
from telephony.sip.transport.local_addresses import LocalAddress


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message that the transport must send from `local` to `destination`.

    The message is sent as a datagram if the transport of `destination` is UDP, otherwise over a
    connection.
    """

    data: bytes
    destination: Address
    local: Address
    fallback: Address | None = None
    """The address to which the message is sent if no connection to `destination` is open.

    If it is None, the transport opens a connection to `destination`. But a connection that the peer
    opened (`destination.flow` is not 0) cannot be opened again; the message is then not sent.
    """


class NextHop(NamedTuple):
    """The next hop of a message: its destination, our local address and a fallback address.

    `fallback` has the same meaning as in `OutgoingMessage`.
    """

    destination: Address
    local: LocalAddress
    fallback: Address | None = None

    def message(self, data: bytes) -> OutgoingMessage:
        """Return a message with these bytes, to be sent to this hop."""
        return OutgoingMessage(data, self.destination, self.local.address, self.fallback)
