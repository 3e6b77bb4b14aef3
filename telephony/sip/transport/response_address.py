"""The address of a response, from the request's top Via and source (RFC 3261 18.2, RFC 3581)."""

from __future__ import annotations

from dataclasses import replace

from telephony.sip.message.header_values import Via
from telephony.sip.transport.address import DEFAULT_PORTS, Address, is_literal


def stamp(via: Via, source: Address) -> Via:
    """Return the top Via with `rport` and `received` for the source, if they are needed.

    `rport` is added if the sender requested it; `received` also if the Via's host is not the source
    IP address.
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

    It is `source` for a connection or with `rport`, otherwise its IP address with the port in the
    Via (RFC 3261 section 18.2.2). `maddr` is ignored: a sender could let us send responses to any
    target.
    """
    if source.reliable or any(n.lower() == "rport" for n, _ in via.parameters):
        return source
    return Address(source.host, via.port or DEFAULT_PORTS["UDP"])


def reply_fallback(via: Via, source: Address) -> Address | None:
    """Return the source IP address with the Via's port (RFC 3261 18.2.2); None for UDP.

    It is where we connect if the request's connection is lost.
    """
    if not source.reliable:
        return None
    port = via.port or DEFAULT_PORTS[source.transport]
    name = "" if is_literal(via.host) or source.transport != "TLS" else via.host
    return Address(source.host, port, source.transport, name)
