"""The address to which a response is sent (RFC 3261 section 18.2, RFC 3581).

The address depends on the top Via and the source address of the request.
"""

from __future__ import annotations

from dataclasses import replace

from telephony.sip.message.via import Via
from telephony.sip.transport.address import DEFAULT_PORTS, Address, is_literal


def stamp(via: Via, source: Address) -> Via:
    """Return a copy of `via` that has the parameters `rport` and `received` if they are needed.

    `via` is the top Via of a request from `source`.

    - `rport` is added if the sender requested it. Its value is the source port.
    - `received` is added if the sender requested `rport`, or if the host in the Via is not the
      source IP address. The value of `received` is the source IP address.
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

    If the request came over a connection, this is `source`. If it came by UDP and the Via has
    `rport`, this is also `source`. Otherwise it is the IP address of `source` with the port in the
    Via (RFC 3261 section 18.2.2). `maddr` is ignored, because otherwise a sender could let us send
    responses to any target.
    """
    if source.reliable or any(n.lower() == "rport" for n, _ in via.parameters):
        return source
    return Address(source.host, via.port or DEFAULT_PORTS["UDP"])


def reply_fallback(via: Via, source: Address) -> Address | None:
    """Return the address to which we connect if the request's connection is lost.

    The address is the IP address of `source` with the port in the Via (RFC 3261 section 18.2.2).
    Return None if the request came by UDP.
    """
    if not source.reliable:
        return None
    port = via.port or DEFAULT_PORTS[source.transport]
    name = "" if is_literal(via.host) or source.transport != "TLS" else via.host
    return Address(source.host, port, source.transport, name)
