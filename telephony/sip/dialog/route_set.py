"""The Contact and Record-Route by which the sender is reached (RFC 3261 section 12.1)."""

from __future__ import annotations

from telephony.errors import SipParseError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import SIP_SCHEMES, Uri
from telephony.sip.transport.address import literal


def target_of(message: Request | Response) -> Uri | None:
    """Return the first sip or sips URI among the Contacts of the message, or None.

    Requests cannot be sent to tel or mailto. None also if any Contact cannot be parsed.
    """
    try:
        contacts = message.contacts
    except SipParseError:
        return None
    return next((each.uri for each in contacts if each.uri.scheme in SIP_SCHEMES), None)


def path_hosts(request: Request) -> frozenset[str]:
    """Return the IP addresses in the Via fields of a received request, `received` included."""
    try:
        vias = request.vias
    except SipParseError:
        return frozenset()
    named = (host for via in vias for host in (via.host, via.received) if host)
    return frozenset(found for host in named if (found := literal(host)) is not None)


def wants_sips(request: Request) -> bool:
    """Return whether our Contact in responses must be a sips URI (RFC 3261 section 12.1.1)."""
    routes = recorded_routes(request)
    next_hop = routes[0].uri if routes else target_of(request)
    return "sips" in {request.uri.scheme, next_hop.scheme if next_hop else ""}


def recorded_routes(message: Request | Response) -> list[NameAddr]:
    """Return the Record-Route entries, from top to bottom; empty if one cannot be parsed."""
    try:
        return [NameAddr.parse(route) for route in message.headers.get_list("Record-Route")]
    except SipParseError:
        return []
