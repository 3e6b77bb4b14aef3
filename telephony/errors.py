"""Exceptions of the package `telephony`. More are in `phone/state.py` and `b2bua/session_timer.py`.

TelephonyError
├── ParseError                 the peer sent something that cannot be read
│   ├── SipParseError          a SIP message, header field or URI cannot be read
│   │   └── UnsupportedBodyError   a body is required, and we do not understand it
│   ├── SdpParseError          a session description cannot be read
│   └── RtpParseError          an RTP or RTCP packet cannot be read
├── SrtpError                  a packet is refused (forged, repeated), or cannot be protected
├── ProtocolError              our own mistake: a wrong argument, or a message that is forbidden
└── NoPortsError               media ports for a call leg cannot be opened

A `ParseError` never quotes its input, because errors are logged and SIP messages contain telephone
numbers.
"""


class TelephonyError(Exception):
    """The base class of the exceptions in this module and in `telephony.phone.state`."""


class ParseError(TelephonyError):
    """Something that the peer sent cannot be read.

    Attributes:
        reason: The part that is wrong, in a few words that may be logged.
        status: The SIP status of our response to the peer, if we can send a response.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class SipParseError(ParseError):
    """A SIP message, header field or URI cannot be read."""


class UnsupportedBodyError(SipParseError):
    """We do not understand a required body (RFC 3261 section 8.2.3). The status is 415."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, status=415)


class SdpParseError(ParseError):
    """A session description cannot be read, or its media cannot be used (then status 488)."""


class RtpParseError(ParseError):
    """An RTP or RTCP packet cannot be read."""


class SrtpError(TelephonyError):
    """A received SRTP or SRTCP packet is refused, or our own packet cannot be protected."""


class ProtocolError(TelephonyError):
    """We made a mistake: an argument is not valid, or the protocol forbids what we tried to do."""


class NoPortsError(TelephonyError):
    """Media ports for a call leg cannot be opened.

    For example, no pair of ports is free, or a call has too many legs.
    """
