"""The choice of the IP address by which this machine is reached.

It is needed where the settings contain only a wildcard address (0.0.0.0 or ::).
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""A destination for each wildcard address, to which only a default route leads.

The destinations are documentation addresses (RFC 5737, RFC 3849).
"""


def reachable_host(listen: str) -> str:
    """Return the IP address by which others reach a socket that is bound to `listen`.

    For a wildcard, it is the local address that the default route of this machine uses, or the
    loopback address if there is no default route.
    """
    if listen not in _WILDCARDS:
        return listen
    try:
        return host_towards(_WILDCARDS[listen])
    except OSError:  # without a route, only this machine can reach the socket
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
