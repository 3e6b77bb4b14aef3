"""Our own addresses: those of our sockets, and those that we show to peers."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import ProtocolError
from telephony.sip.transport.address import Address, is_ipv6


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One of our addresses: the one to which the socket is bound, and the one shown to peers."""

    address: Address
    advertised: Address

    @property
    def transport(self) -> str:
        """UDP, TCP or TLS."""
        return self.address.transport

    def reaches(self, destination: Address) -> bool:
        """Return whether the destination has this address's transport and IP family."""
        here = self.address
        same_family = is_ipv6(here.host) == is_ipv6(destination.host)
        return same_family and here.transport == destination.transport


class LocalAddresses:
    """The addresses at which one endpoint receives messages, in the order in which they came."""

    def __init__(self) -> None:
        """Start without an address."""
        self._by_socket: dict[Address, LocalAddress] = {}

    def add(self, address: Address, advertised: Address | None) -> None:
        """Add the address of a socket; peers see `advertised`, or the address itself if None.

        Raises:
            ProtocolError: A wildcard address has no advertised one: peers could not answer.
        """
        if (advertised or address).host in {"0.0.0.0", "::"}:  # noqa: S104 - refused here
            raise ProtocolError("a wildcard address needs an advertised one")
        self._by_socket[address] = LocalAddress(address, advertised or address)

    def get(self, address: Address) -> LocalAddress | None:
        """Return the local address of a socket; None if it was never added."""
        return self._by_socket.get(address)

    def choose(self, address: Address | None, destination: Address) -> LocalAddress:
        """Return the local address to use; if `address` is not given, the first that fits.

        Raises:
            ProtocolError: No local address fits, or `address` was never passed to `listen`.
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
        """Return a local address that reaches the destination; None if no address does.

        `near` is preferred, then another address on its host.
        """
        if near is not None and near.reaches(destination):
            return near
        found = [local for local in self._by_socket.values() if local.reaches(destination)]
        if near is not None:
            found.sort(key=lambda local: local.address.host != near.address.host)
        return found[0] if found else None

    def has(self, host: str, port: int | None) -> bool:
        """Return whether this host and port are those that we put into our Via headers."""
        return any(
            host.strip("[]").lower() == local.advertised.host.lower()
            and (port or 5060) == local.advertised.port
            for local in self._by_socket.values()
        )
