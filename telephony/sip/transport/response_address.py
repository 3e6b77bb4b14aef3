"""The address to which a response is sent (RFC 3261 section 18.2, RFC 3581).

It is found from the top Via and the source address of the request.
"""

from __future__ import annotations

from dataclasses import replace

from telephony.sip.message.via import Via
from telephony.sip.transport.address import DEFAULT_PORTS, Address, is_literal


def stamp(via: Via, source: Address) -> Via:
    """Return the Via of a request from `source`, with the values of `received` and `rport`.

    `rport` is filled in if the sender requested it. `received` is added if the sender requested
    `rport`, or if the host in the Via is not the source's host.
    """
    wants_port = any(name.lower() == "rport" for name, _ in via.parameters)
    kept = tuple(pair for pair in via.parameters if pair[0].lower() not in {"received", "rport"})
    if wants_port:
        kept += (("rport", str(source.port)),)
    if wants_port or via.host.strip("[]").lower() != source.host.lower():
        kept += (("received", source.host),)
    return replace(via, parameters=kept)


def reply_address(via: Via, source: Address) -> Address:
    """Return the address to which the response to a request from `source` is sent.

    If the request came over a connection, the response goes to `source`. Over UDP, the response
    goes to `source` if the Via has `rport`, else to the port in the Via at the host of `source`
    (RFC 3261 section 18.2.2). `maddr` is ignored, because it would let a sender direct our
    responses to any target.
    """
    if source.reliable or any(n.lower() == "rport" for n, _ in via.parameters):
        return source
    return Address(source.host, via.port or DEFAULT_PORTS["UDP"])


def reply_fallback(via: Via, source: Address) -> Address | None:
    """Return the address for a new connection if the request's connection is lost; None for UDP.

    This address is the port in the Via at the host of `source` (RFC 3261 section 18.2.2).
    """
    if not source.reliable:
        return None
    port = via.port or DEFAULT_PORTS[source.transport]
    name = "" if is_literal(via.host) or source.transport != "TLS" else via.host
    return Address(source.host, port, source.transport, name)
