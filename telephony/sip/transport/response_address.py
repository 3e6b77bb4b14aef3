"""The addresses for a response, from the request's Via (RFC 3261 18.2, RFC 3581)."""

from __future__ import annotations

from dataclasses import replace

from telephony.sip.message.via import Via
from telephony.sip.transport.address import DEFAULT_PORTS, Address, is_literal


def stamp(via: Via, source: Address) -> Via:
    """Return the Via with `received` where it is required and `rport` filled in if requested."""
    wants_port = any(name.lower() == "rport" for name, _ in via.parameters)
    kept = tuple(pair for pair in via.parameters if pair[0].lower() not in {"received", "rport"})
    if wants_port:
        kept += (("rport", str(source.port)),)
    if wants_port or via.host.strip("[]").lower() != source.host.lower():
        kept += (("received", source.host),)
    return replace(via, parameters=kept)


def reply_address(via: Via, source: Address) -> Address:
    """Return the address for responses (RFC 3261 18.2.2).

    Over a connection, it is the source. Over UDP, it is the source if the Via has `rport`, else the
    Via's port at the source's host. `maddr` is ignored: it would let anyone choose the target of
    our responses.
    """
    if source.reliable or any(n.lower() == "rport" for n, _ in via.parameters):
        return source
    return Address(source.host, via.port or DEFAULT_PORTS["UDP"])


def reply_fallback(via: Via, source: Address) -> Address | None:
    """Return the address for a new connection if that of the request is gone; None for UDP.

    It is the Via's port at the source's host (RFC 3261 18.2.2).
    """
    if not source.reliable:
        return None
    port = via.port or DEFAULT_PORTS[source.transport]
    name = "" if is_literal(via.host) or source.transport != "TLS" else via.host
    return Address(source.host, port, source.transport, name)
