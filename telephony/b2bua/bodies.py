"""Find the session description (SDP) in the body of a SIP message.

The SDP is the whole body, or one part of a multipart body.
"""

from __future__ import annotations

import re

from telephony.errors import SipParseError
from telephony.sdp import SessionDescription
from telephony.sip.events import Address
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.multipart import parts_of
from telephony.sip.transport.address import is_ipv6

_CONNECTION = re.compile(rb"^c=IN IP([46])[ \t]", re.MULTILINE)
_SDP_RANGES = frozenset({"application/sdp", "application/*", "*/*"})


def require_sdp_accepted(request: Request) -> None:
    """Check that the sender of a request accepts SDP in our response (RFC 3261 20.1).

    Raises:
        SipParseError: Status 406; the request has an Accept header field that does not include
            SDP.
    """
    ranges = {
        text.partition(";")[0].rstrip().lower() for text in request.headers.get_list("Accept")
    }
    if "Accept" in request.headers and not ranges & _SDP_RANGES:
        raise SipParseError("the Accept header field does not include SDP", status=406)


def wants_ipv6(request: Request, source: Address) -> bool:
    """Return whether the media of the request's sender uses IPv6.

    The c= line of the offer decides. If there is no c= line, the address of the request's sender
    decides.
    """
    connection = _CONNECTION.search(request.body)
    return connection[1] == b"6" if connection is not None else is_ipv6(source.host)


def description(message: Request | Response) -> SessionDescription | None:
    """Return the session description in a message's body.

    None means that the message has no body, or that its body is multipart without SDP.

    Raises:
        SipParseError: Status 415; the body is not SDP, or it has a content encoding (RFC 3261
            8.2.3).
        SdpParseError: The SDP cannot be read.
    """
    if not message.body:
        return None
    if (message.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise SipParseError("the body has a Content-Encoding", status=415)
    kind = message.content_type
    if kind == "application/sdp":
        return SessionDescription.parse(message.body)
    if kind == "multipart/mixed":
        parts = (part.body for part in parts_of(message) if part.type == "application/sdp")
        found = next(parts, None)
        return SessionDescription.parse(found) if found is not None else None
    raise SipParseError("the body is not a session description", status=415)
