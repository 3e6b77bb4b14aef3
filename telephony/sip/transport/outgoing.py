"""Messages to send, and where they go: the next hop of a request, and the address of a response.

The address of a response comes from the top Via and the source of its request (RFC 3261 section
18.2, RFC 3581). The list of peers that refused TCP is here too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from telephony.sip.message.header_values import Via
from telephony.sip.transport.address import DEFAULT_PORTS, Address, LocalAddress, is_literal

_REMEMBERED: Final = 600.0
"""The seconds for which a refusal of TCP is stored."""
_MAX_REMEMBERED: Final = 1000
"""With this many stored refusals, all are forgotten before a new one is added."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send from `local`, as a datagram if `destination` is UDP."""

    data: bytes
    destination: Address
    local: Address
    fallback: Address | None = None
    """The address to use if no connection to `destination` is open; None: open a connection.

    A connection that the peer opened (`destination.flow` is not 0) cannot be opened again: without
    a fallback, nothing is sent.
    """


class NextHop(NamedTuple):
    """The destination, local address and fallback (as in `OutgoingMessage`) of a message."""

    destination: Address
    local: LocalAddress
    fallback: Address | None = None

    def message(self, data: bytes) -> OutgoingMessage:
        """Return a message with these bytes, to be sent to this hop."""
        return OutgoingMessage(data, self.destination, self.local.address, self.fallback)


def stamp(via: Via, source: Address) -> Via:
    """Return the top Via with `rport` and `received` for the source, if they are needed.

    `rport` is added if the sender requested it. `received` is added together with `rport`, and
    whenever the Via's host is not the source IP address. Both replace the sender's own values.
    """
    wants_port = any(name.lower() == "rport" for name, _ in via.parameters)
    kept = tuple(pair for pair in via.parameters if pair[0].lower() not in {"received", "rport"})
    if wants_port:
        kept += (("rport", str(source.port)),)
    if wants_port or via.host.strip("[]").lower() != source.host.lower():
        kept += (("received", source.host),)
    return replace(via, parameters=kept)


def reply_address(via: Via, source: Address) -> Address:
    """Return the address to which the response to a request from `source` is sent.

    It is `source`, if the request came over a connection or the Via has `rport`. Otherwise it is
    the IP address of `source` with the port in the Via (RFC 3261 section 18.2.2). `maddr` is
    ignored: with it, a sender could make us send responses to any target.
    """
    if source.reliable or any(n.lower() == "rport" for n, _ in via.parameters):
        return source
    return Address(source.host, via.port or DEFAULT_PORTS["UDP"])


def reply_fallback(via: Via, source: Address) -> Address | None:
    """Return the source IP address with the Via's port (RFC 3261 18.2.2); None for UDP.

    We connect to this address if the request's connection is lost.
    """
    if not source.reliable:
        return None
    port = via.port or DEFAULT_PORTS[source.transport]
    name = "" if is_literal(via.host) or source.transport != "TLS" else via.host
    return Address(source.host, port, source.transport, name)


class TcpRefusals:
    """The peers that refused TCP in the last ten minutes, by their UDP addresses."""

    def __init__(self) -> None:
        self._until: dict[Address, float] = {}

    def add(self, peer: Address, now: float) -> None:
        """Remember that this peer has refused TCP: for ten minutes, it gets only datagrams."""
        if len(self._until) >= _MAX_REMEMBERED:
            self._until.clear()
        self._until[peer] = now + _REMEMBERED

    def has(self, peer: Address, now: float) -> bool:
        """Return whether this peer has refused TCP in the last ten minutes."""
        return self._until.get(peer, now) > now
