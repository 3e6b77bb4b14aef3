"""SIP messages that are known to be requests or responses."""

from __future__ import annotations

from telephony.sip.message.messages import Request, Response, parse_message


def request_of(data: bytes) -> Request:
    """Parse a request."""
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def response_of(data: bytes) -> Response:
    """Parse a response."""
    message = parse_message(data)
    assert isinstance(message, Response)
    return message
