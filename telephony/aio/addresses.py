"""Which of this machine's addresses others are told, where the settings leave it open."""

from __future__ import annotations

import socket
from ipaddress import ip_address

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""With an address (RFC 5737, 3849) that only a default route leads to."""


def reachable_host(listen: str) -> str:
    """The address by which a socket bound to `listen` is reached.

    A wildcard is reached by the address from which this machine's default route leaves, or by
    loopback where there is no route.
    """
    if listen not in _WILDCARDS:
        return listen
    try:
        return host_towards(_WILDCARDS[listen])
    except OSError:  # no route: only this machine can call
        return "::1" if listen == "::" else "127.0.0.1"


def host_towards(peer: str) -> str:
    """The address of ours from which datagrams to `peer`, an IP literal, leave.

    Raises:
        OSError: no route leads there.
    """
    family = socket.AF_INET6 if ip_address(peer).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))  # asking sends nothing
        return str(probe.getsockname()[0])
