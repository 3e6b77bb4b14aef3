"""Find the session description (SDP) in the body of a SIP message (RFC 3261 8.2.3, RFC 5621).

The SDP is the whole body, or one part of a multipart body. A body that we do not understand is
ignored if it is in a response, or if its Content-Disposition says `handling=optional`. Any other
body that we do not understand is refused, with the exceptions that `description` lists.
"""

from __future__ import annotations

import re
from typing import Final

from telephony.errors import SipParseError, UnsupportedBodyError
from telephony.sdp import SessionDescription
from telephony.sip.events import Address
from telephony.sip.message.content import BodyPart, parse_multipart
from telephony.sip.message.grammar import find_parameter, parse_parameters
from telephony.sip.message.messages import Request, Response
from telephony.sip.transport.address import is_ipv6

_CONNECTION = re.compile(rb"^c=IN IP([46])[ \t]", re.MULTILINE)
_SDP_RANGES = frozenset({"application/sdp", "application/*", "*/*"})
_SDP: Final = "application/sdp"
_LOCATION: Final = "application/pidf+xml"
"""The location of a caller (PIDF-LO, RFC 6442), which phones add above all to emergency calls."""
_MAX_DEPTH: Final = 4
"""The most multipart bodies that may be nested around a part that we read."""

ACCEPT: Final = (
    ("Accept", "application/sdp, multipart/mixed, multipart/alternative, multipart/related"),
)
"""The Accept header field with the body types that we understand."""

NOT_UNDERSTOOD: Final = (*ACCEPT, ("Accept-Encoding", "identity"))
"""The header fields of a response 415 (RFC 3261 8.2.3)."""


def require_sdp_accepted(request: Request) -> None:
    """Raise SipParseError (406) if a request's Accept does not include SDP (RFC 3261 20.1)."""
    ranges = {
        text.partition(";")[0].rstrip().lower() for text in request.headers.get_list("Accept")
    }
    if "Accept" in request.headers and not ranges & _SDP_RANGES:
        raise SipParseError("the Accept header field does not include SDP", status=406)


def wants_ipv6(request: Request, source: Address) -> bool:
    """Return whether the sender's media uses IPv6, by the first c= line or else by `source`."""
    connection = _CONNECTION.search(request.body)
    return connection[1] == b"6" if connection is not None else is_ipv6(source.host)


def description(message: Request | Response) -> SessionDescription | None:
    """Return the session description in a message; None if its body is absent or can be ignored.

    A body without SDP can be ignored if it is in a response or optional.

    - The location of the caller is ignored: an emergency call must not fail because of it.
    - In multipart/mixed, the first SDP is used. RFC 3261 20.11 makes every part required that does
      not say `handling=optional`, but some peers add a location or ISUP without saying so. So next
      to SDP, we refuse a part only if it says `handling=required`.
    - In multipart/alternative, the last part that we understand is used.
    - In multipart/related, the root part is used: that of the parameter `start`, or else the first.

    SDP with the disposition `early-session` (RFC 3959) does not describe the call's media and is
    not used.

    Raises:
        SipParseError: A multipart body is malformed, or a request has a required part that is not
            SDP or has a content encoding (status 415).
        SdpParseError: The SDP cannot be read.
    """
    if not message.body:
        return None
    content_type = message.headers.get("Content-Type") or ""
    try:
        sdp = _find_sdp(BodyPart(content_type, message.body, message.headers))
    except UnsupportedBodyError:
        if isinstance(message, Response):
            return None
        raise
    return SessionDescription.parse(sdp) if sdp is not None else None


def _find_sdp(part: BodyPart, depth: int = 0) -> bytes | None:
    """Return the SDP in a part within `depth` multipart bodies; None for a part to ignore.

    Raises:
        UnsupportedBodyError: The part has no SDP and is required.
        SipParseError: The part is a malformed multipart body.
    """
    try:
        return _require_sdp(part, depth)
    except UnsupportedBodyError:
        if _handling(part) == "optional" or part.type == _LOCATION:
            return None
        raise


def _require_sdp(part: BodyPart, depth: int) -> bytes | None:
    encoding = (part.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBodyError("the body has a Content-Encoding")
    if part.type == _SDP and _disposition(part) != "early-session":
        return part.body
    if not part.type.startswith("multipart/") or depth == _MAX_DEPTH:
        raise UnsupportedBodyError("the body is not a session description")
    parts = parse_multipart(part.content_type, part.body)
    if part.type == "multipart/alternative":
        return _sdp_of_alternative(parts, depth + 1)
    if part.type == "multipart/related":
        return _require_sdp(_root(part, parts), depth + 1)
    # A multipart type that we do not know has the meaning of multipart/mixed (RFC 2046 5.1.3).
    return _sdp_of_mixed(parts, depth + 1)


def _sdp_of_mixed(parts: list[BodyPart], depth: int) -> bytes | None:
    found, refused = None, None
    for part in parts:
        try:
            sdp = _find_sdp(part, depth)
        except UnsupportedBodyError as error:
            if _handling(part) == "required":
                raise
            refused = error
        else:
            found = sdp if found is None else found
    if found is None and refused is not None:
        raise refused
    return found


def _sdp_of_alternative(parts: list[BodyPart], depth: int) -> bytes | None:
    for part in reversed(parts):
        try:
            return _require_sdp(part, depth)
        except UnsupportedBodyError:
            continue  # RFC 2046 5.1.4: the next part is a simpler form of the same contents.
    raise UnsupportedBodyError("no alternative part of the body is a session description")


def _root(related: BodyPart, parts: list[BodyPart]) -> BodyPart:
    """Return the root part of a multipart/related body (RFC 2387 section 3.2)."""
    start = _parameter(related.content_type, "start")
    named = (part for part in parts if start and part.headers.get("Content-ID") == start)
    return next(named, parts[0])


def _disposition(part: BodyPart) -> str:
    value = part.headers.get("Content-Disposition") or ""
    return value.partition(";")[0].strip().lower()


def _handling(part: BodyPart) -> str:
    """Return the handling that a part's Content-Disposition says; "" if it says none."""
    return _parameter(part.headers.get("Content-Disposition") or "", "handling").lower()


def _parameter(value: str, name: str) -> str:
    _, semicolon, tail = value.partition(";")
    return find_parameter(parse_parameters(semicolon + tail), name) or ""
