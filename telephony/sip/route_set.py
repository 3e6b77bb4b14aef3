"""What a message says about the way to its sender: Contact and Record-Route (RFC 3261 12.1)."""

from __future__ import annotations

from telephony.errors import SipParseError
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request, Response
from telephony.sip.uri import Uri


def target_of(message: Request | Response) -> Uri | None:
    """The first Contact; None if there is none that can be read."""
    try:
        contacts = message.contacts
    except SipParseError:
        return None
    return contacts[0].uri if contacts else None


def wants_sips(request: Request) -> bool:
    """True if our Contact in the answer must be a sips URI (RFC 3261 12.1.1)."""
    routes = recorded_routes(request)
    next_hop = routes[0].uri if routes else target_of(request)
    return "sips" in {request.uri.scheme, next_hop.scheme if next_hop else ""}


def recorded_routes(message: Request | Response) -> list[NameAddr]:
    """The Record-Route entries, top first; none if one of them cannot be read."""
    try:
        return [NameAddr.parse(route) for route in message.headers.get_list("Record-Route")]
    except SipParseError:
        return []
