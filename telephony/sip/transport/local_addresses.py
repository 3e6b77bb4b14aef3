"""Our own addresses: those of our sockets, and those that we show to peers in Via and Contact."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import ProtocolError
from telephony.sip.transport.address import Address, is_ipv6


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One of our addresses.

    `address` is the address to which our socket is bound. `advertised` is the address that peers
    see.
    """

    address: Address
    advertised: Address

    @property
    def transport(self) -> str:
        """The transport of our socket: UDP, TCP or TLS."""
        return self.address.transport

    def reaches(self, destination: Address) -> bool:
        """Return whether `destination` has the same transport and IP family as this address."""
        here = self.address
        same_family = is_ipv6(here.host) == is_ipv6(destination.host)
        return same_family and here.transport == destination.transport


class LocalAddresses:
    """The addresses at which one endpoint receives messages, in the order of the `add` calls."""

    def __init__(self) -> None:
        """Start without addresses."""
        self._by_socket: dict[Address, LocalAddress] = {}

    def add(self, address: Address, advertised: Address | None) -> None:
        """Add the address of a socket.

        Peers see the address `advertised`, or the address of the socket if `advertised` is None.

        Raises:
            ProtocolError: The address is a wildcard address and `advertised` is missing. Peers
                could not answer to a wildcard address.
        """
        if (advertised or address).host in {"0.0.0.0", "::"}:  # noqa: S104 - refused here
            raise ProtocolError("a wildcard address needs an advertised one")
        self._by_socket[address] = LocalAddress(address, advertised or address)

    def get(self, address: Address) -> LocalAddress | None:
        """Return the local address of a socket; None if it was not added."""
        return self._by_socket.get(address)

    def choose(self, address: Address | None, destination: Address) -> LocalAddress:
        """Return the local address from which to send to `destination`.

        This is the local address of the socket `address`. If `address` is None, it is the first
        local address of the destination's transport and IP family.

        Raises:
            ProtocolError: There is no such local address, or `address` was never passed to
                `listen`.
        """
        found = self.reaching(destination) if address is None else self.get(address)
        if found is not None:
            return found
        if address is not None:
            raise ProtocolError("that local address was never given to listen()")
        raise ProtocolError("no local address of the destination's family and transport")

    def reaching(
        self, destination: Address, near: LocalAddress | None = None
    ) -> LocalAddress | None:
        """Return a local address of the destination's transport and IP family, or None.

        The first choice is the local address `near`, and the second an address on the host of
        `near`.
        """
        if near is not None and near.reaches(destination):
            return near
        found = [local for local in self._by_socket.values() if local.reaches(destination)]
        if near is not None:
            found.sort(key=lambda local: local.address.host != near.address.host)
        return found[0] if found else None

    def has(self, host: str, port: int | None) -> bool:
        """Return whether this host and port are one of our advertised addresses.

        Our Via headers contain advertised addresses.
        """
        return any(
            host.strip("[]").lower() == local.advertised.host.lower()
            and (port or 5060) == local.advertised.port
            for local in self._by_socket.values()
        )
