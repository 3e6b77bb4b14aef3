"""SIP addresses: IP address, port and transport (RFC 3261 18 and 19.1.2)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from telephony.sip.message.uri import Uri

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
"""The transports that we know, with their default ports (RFC 3261 19.1.2)."""


class Address(NamedTuple):
    """An address for SIP: IP address, port and transport."""

    host: str
    """An IP address, never a name; IPv6 without brackets."""
    port: int
    transport: str = "UDP"
    """UDP, TCP or TLS."""
    name: str = ""
    """TLS: the name that the peer's certificate must have (RFC 5922 7.3); "" for the host."""
    flow: int = 0
    """If not 0, the id of the connection that the peer opened (RFC 5626); no other may be used."""

    @property
    def reliable(self) -> bool:
        """True if the transport retransmits by itself."""
        return self.transport != "UDP"


def address_of(uri: Uri) -> Address | None:
    """Return the address in a URI whose host is an IP address; None for a host name.

    The application resolves names. A transport that we do not know gives None too.
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
    """Return an IP address (brackets allowed) in its usual form; None for a host name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def is_literal(host: str) -> bool:
    """Return whether `host` is an IP address, with or without brackets."""
    return literal(host) is not None


def is_ipv6(host: str) -> bool:
    """Return whether `host` is an IPv6 address (brackets allowed), not IPv4 or a name."""
    return ":" in host
