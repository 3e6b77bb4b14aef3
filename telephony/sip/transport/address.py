"""SIP addresses: IP address, port and transport (RFC 3261 sections 18 and 19.1.2).

`LocalAddresses` has our own addresses, of our sockets and as peers see them in Via and Contact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from telephony.errors import ProtocolError
from telephony.sip.message.uri import Uri

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
"""The transports that we know, each with its default port (RFC 3261 section 19.1.2)."""


class Address(NamedTuple):
    """An address for SIP: IP address, port and transport."""

    host: str
    """An IP address, never a host name. An IPv6 address is written without brackets."""
    port: int
    transport: str = "UDP"
    """UDP, TCP or TLS."""
    name: str = ""
    """The name that the peer's TLS certificate must have (RFC 5922 7.3); "" means `host`."""
    flow: int = 0
    """The id of the peer's connection (RFC 5626), if no other connection may be used; else 0."""

    @property
    def reliable(self) -> bool:
        """True if the transport is TCP or TLS, which retransmit lost data."""
        return self.transport != "UDP"


def address_of(uri: Uri) -> Address | None:
    """Return the address in a URI whose host is an IP address.

    Return None for a host name, which the application must resolve, and for a transport other than
    UDP, TCP and TLS.
    """
    host = literal(uri.host)
    if host is None:
        return None
    transport = (uri.parameter("transport") or "udp").upper()
    if uri.scheme == "sips":
        transport = "TLS" if transport in {"UDP", "TCP", "TLS"} else transport
    if transport not in DEFAULT_PORTS:
        return None
    return Address(host, uri.port or DEFAULT_PORTS[transport], transport)


@lru_cache(maxsize=1024)
def literal(host: str) -> str | None:
    """Return the IP address `host` in its usual form without brackets; None for a host name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def is_literal(host: str) -> bool:
    """Return whether `host` is an IP address, with or without brackets."""
    return literal(host) is not None


def is_ipv6(host: str) -> bool:
    """Return whether `host` is an IPv6 address, with or without brackets."""
    return ":" in host


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """The address of our socket, and the `advertised` address, which is in Via and Contact."""

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
    """The addresses at which one endpoint receives messages, in the sequence of their addition."""

    def __init__(self) -> None:
        self._by_socket: dict[Address, LocalAddress] = {}

    def __len__(self) -> int:
        return len(self._by_socket)

    def add(self, address: Address, advertised: Address | None) -> None:
        """Add the address of a socket; None for `advertised` means the same address.

        Raises `ProtocolError` if peers would get a wildcard address, to which they cannot send.
        """
        if (advertised or address).host in {"0.0.0.0", "::"}:  # noqa: S104 - refused here
            raise ProtocolError("a wildcard address needs an advertised address")
        self._by_socket[address] = LocalAddress(address, advertised or address)

    def get(self, address: Address) -> LocalAddress | None:
        """Return the local address of the socket `address`; None if it was not added."""
        return self._by_socket.get(address)

    def choose(self, address: Address | None, destination: Address) -> LocalAddress:
        """Return the local address from which to send to `destination`.

        The result is for the socket `address`. If `address` is None, it is the first local address
        with the transport and IP family of `destination`. Raises `ProtocolError` if there is none.
        """
        found = self.reaching(destination) if address is None else self.get(address)
        if found is not None:
            return found
        if address is not None:
            raise ProtocolError("the local address was not passed to listen()")
        raise ProtocolError("no local address of the destination's family and transport")

    def reaching(
        self, destination: Address, near: LocalAddress | None = None
    ) -> LocalAddress | None:
        """Return a local address with the destination's transport and IP family, or None.

        The choice is `near` itself, then one with its IP address, then the first that was added.
        """
        if near is not None and near.reaches(destination):
            return near
        found = [local for local in self._by_socket.values() if local.reaches(destination)]
        if near is not None:
            found.sort(key=lambda local: local.address.host != near.address.host)
        return found[0] if found else None

    def has(self, host: str, port: int | None) -> bool:
        """Return whether this host and port (None: 5060) is one of our advertised addresses."""
        return any(
            host.strip("[]").lower() == local.advertised.host.lower()
            and (port or 5060) == local.advertised.port
            for local in self._by_socket.values()
        )
