"""Find the IP address at which other machines reach this one, for a wildcard (0.0.0.0 or ::)."""

from __future__ import annotations

import socket
from ipaddress import ip_address

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""Documentation addresses (RFC 5737, RFC 3849), which only the default route reaches."""


def reachable_host(listen: str) -> str:
    """Return the IP address at which other machines reach a socket that is bound to `listen`.

    For a wildcard, this is the local address of the default route, or loopback if there is none.
    """
    if listen not in _WILDCARDS:
        return listen
    try:
        return host_towards(_WILDCARDS[listen])
    except OSError:  # no default route: this machine probably has no network
        return "::1" if listen == "::" else "127.0.0.1"


def host_towards(peer: str) -> str:
    """Return the local address from which this machine sends datagrams to the IP literal `peer`.

    Raises:
        OSError: No route leads to the peer.
    """
    family = socket.AF_INET6 if ip_address(peer).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))  # connecting a UDP socket sends nothing
        return str(probe.getsockname()[0])
