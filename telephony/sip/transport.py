"""The Via header at this hop: received and rport (RFC 3261 18.2, RFC 3581)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from telephony.sip.events import Address
from telephony.sip.headers import Via

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
"""The transports that we know, and their ports (RFC 3261 19.1.2)."""


def stamp(via: Via, source: Address) -> Via:
    """A Via with `received` where it is due, and `rport` filled in where it was asked for."""
    wants_port = any(name.lower() == "rport" for name, _ in via.parameters)
    kept = tuple(pair for pair in via.parameters if pair[0].lower() not in {"received", "rport"})
    if wants_port:
        kept += (("rport", str(source.port)),)
    if wants_port or via.host.strip("[]").lower() != source.host.lower():
        kept += (("received", source.host),)
    return replace(via, parameters=kept)


def reply_address(via: Via, source: Address) -> Address:
    """Where responses go: over the connection on which the request came (RFC 3261 18.2.2).

    Over UDP to the source if it asked for that, else to its sent-by port there. `maddr` is not
    followed: it would let anyone aim our responses.
    """
    if source.reliable or any(n.lower() == "rport" for n, _ in via.parameters):
        return source
    return Address(source.host, via.port or DEFAULT_PORTS["UDP"])


def reply_otherwise(via: Via, source: Address) -> Address | None:
    """Where a response goes when that connection is gone: to the sent-by port, by a new one."""
    if not source.reliable:
        return None
    port = via.port or DEFAULT_PORTS[source.transport]
    name = "" if is_literal(via.host) or source.transport != "TLS" else via.host
    return Address(source.host, port, source.transport, name)


@lru_cache(maxsize=1024)
def literal(host: str) -> str | None:
    """An IP address, with or without brackets, as it is usually written; None for a name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def is_literal(host: str) -> bool:
    """True for an IP address, with or without brackets."""
    return literal(host) is not None
