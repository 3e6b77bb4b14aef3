"""Which of this machine's addresses others are told, where the settings leave it open."""

from __future__ import annotations

import socket

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""With an address (RFC 5737, 3849) that only a default route leads to."""


def reachable_host(listen: str) -> str:
    """The address by which a socket bound to `listen` is reached.

    A wildcard is reached by the address from which this machine's default route leaves, or by
    loopback where there is no route.
    """
    if listen not in _WILDCARDS:
        return listen
    family = socket.AF_INET6 if listen == "::" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_WILDCARDS[listen], 9))  # asking sends nothing
        except OSError:  # no route: only this machine can call
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])
