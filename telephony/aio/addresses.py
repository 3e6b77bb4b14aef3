"""The choice of this machine's address to advertise where the settings name only a wildcard."""

from __future__ import annotations

import socket
from ipaddress import ip_address

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""Each wildcard with a documentation address (RFC 5737, 3849) that only a default route reaches."""


def reachable_host(listen: str) -> str:
    """Return the address by which a socket bound to `listen` is reached.

    For a wildcard, this is the address from which this machine's default route leaves, or loopback
    if there is no default route.
    """
    if listen not in _WILDCARDS:
        return listen
    try:
        return host_towards(_WILDCARDS[listen])
    except OSError:  # no route: only this machine can call
        return "::1" if listen == "::" else "127.0.0.1"


def host_towards(peer: str) -> str:
    """Return the local address from which datagrams to `peer`, an IP literal, leave.

    Raises:
        OSError: No route leads to the peer.
    """
    family = socket.AF_INET6 if ip_address(peer).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))  # connecting a UDP socket sends nothing
        return str(probe.getsockname()[0])
