"""Find the IP address at which other machines reach this machine.

The search is needed if the settings give only a wildcard address (0.0.0.0 or ::) to listen on.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""For each wildcard address, a destination that can only be reached by the default route.

The destinations are documentation addresses (RFC 5737, RFC 3849). No machine has them.
"""


def reachable_host(listen: str) -> str:
    """Return the IP address at which other machines reach a socket that is bound to `listen`.

    This is `listen` itself, unless `listen` is a wildcard address. For a wildcard address, return
    the local address that this machine's default route uses. If there is no default route, return
    the loopback address.
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
