"""The session description in a message's body: bare, or one part of a multipart body."""

from __future__ import annotations

from telephony.errors import SipParseError
from telephony.sdp import SessionDescription
from telephony.sip.message import Request, Response
from telephony.sip.multipart import parts_of


def description(message: Request | Response) -> SessionDescription | None:
    """The message's SDP; None if it has no body.

    Raises:
        SipParseError: status 415, the body is no SDP.
        SdpParseError: it is, and cannot be read.
    """
    if not message.body:
        return None
    kind = message.content_type
    if kind == "application/sdp":
        return SessionDescription.parse(message.body)
    if kind == "multipart/mixed":
        parts = (part.body for part in parts_of(message) if part.type == "application/sdp")
        found = next(parts, None)
        return SessionDescription.parse(found) if found is not None else None
    raise SipParseError("the body is no session description", status=415)
