"""SIP addresses: IP address, port and transport (RFC 3261 sections 18 and 19.1.2)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from telephony.sip.message.uri import Uri

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
"""The transports that we know, each with its default port (RFC 3261 section 19.1.2)."""


class Address(NamedTuple):
    """An address for SIP: IP address, port and transport."""

    host: str
    """An IP address, never a host name; IPv6 is written without brackets."""
    port: int
    transport: str = "UDP"
    """UDP, TCP or TLS."""
    name: str = ""
    """For TLS: the name that the peer's certificate must have (RFC 5922 section 7.3). If it is "",
    the certificate must have the IP address."""
    flow: int = 0
    """If not 0, the id of the connection that the peer opened (RFC 5626). A message to this address
    must use that connection."""

    @property
    def reliable(self) -> bool:
        """True if the transport itself retransmits lost data (TCP and TLS)."""
        return self.transport != "UDP"


def address_of(uri: Uri) -> Address | None:
    """Return the address in a URI whose host is an IP address.

    Return None for a host name, which the application must resolve, and for a transport that we do
    not know.
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
    """Return the usual form of an IP address, which may have brackets; None for a host name."""
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
