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
    """An IP address, never a host name. An IPv6 address is written without brackets."""
    port: int
    transport: str = "UDP"
    """UDP, TCP or TLS."""
    name: str = ""
    """The name for the peer's TLS certificate (RFC 5922 section 7.3); "" means the IP address."""
    flow: int = 0
    """0, or the id of the connection, opened by the peer, to use (RFC 5626)."""

    @property
    def reliable(self) -> bool:
        """True if the transport is TCP or TLS, which retransmit lost data."""
        return self.transport != "UDP"


def address_of(uri: Uri) -> Address | None:
    """Return the address in a URI whose host is an IP address, or None.

    None is for a host name, which the application must resolve, and for a transport other than UDP,
    TCP and TLS.
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
    """Return an IP address, with or without brackets, in its usual form; None for a host name."""
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
