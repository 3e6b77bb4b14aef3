"""The path to a message's sender: its Contact and Record-Route (RFC 3261 12.1)."""

from __future__ import annotations

from telephony.errors import SipParseError
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri


def target_of(message: Request | Response) -> Uri | None:
    """Return the URI of the first Contact; None if there is no Contact or one cannot be read."""
    try:
        contacts = message.contacts
    except SipParseError:
        return None
    return contacts[0].uri if contacts else None


def wants_sips(request: Request) -> bool:
    """Return whether the Contact in our answer must be a sips URI (RFC 3261 12.1.1)."""
    routes = recorded_routes(request)
    next_hop = routes[0].uri if routes else target_of(request)
    return "sips" in {request.uri.scheme, next_hop.scheme if next_hop else ""}


def recorded_routes(message: Request | Response) -> list[NameAddr]:
    """Return the Record-Route entries, top first; [] if one of them cannot be read."""
    try:
        return [NameAddr.parse(route) for route in message.headers.get_list("Record-Route")]
    except SipParseError:
        return []
