"""The exceptions of this package, as one tree.

TelephonyError
├── ParseError                 the peer sent something that cannot be read
│   ├── SipParseError          a SIP message, header field or URI
│   ├── SdpParseError          a session description
│   └── RtpParseError          an RTP or RTCP packet
├── SrtpError                  a packet is not authentic, is a replay, or cannot be protected
├── ProtocolError              our own mistake: the protocol forbids what we tried to do or send
└── NoPortsError               no pair of media ports is free

A `ParseError` never quotes its input: messages carry telephone numbers, and errors are logged.
"""


class TelephonyError(Exception):
    """The base of all exceptions that this package raises on purpose."""


class ParseError(TelephonyError):
    """Something that the peer sent cannot be read.

    Attributes:
        reason: What is wrong, in a few words that may be logged.
        status: The SIP status for the answer, if an answer is possible at all.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class SipParseError(ParseError):
    """A SIP message, header field or URI cannot be read."""


class SdpParseError(ParseError):
    """A session description cannot be read, or (status 488) has no media that we support."""


class RtpParseError(ParseError):
    """An RTP or RTCP packet cannot be read."""


class SrtpError(TelephonyError):
    """A received SRTP or SRTCP packet is not authentic or a replay, or ours cannot be protected."""


class ProtocolError(TelephonyError):
    """We tried to do or send something that the protocol does not allow."""


class NoPortsError(TelephonyError):
    """No pair of media ports is free."""
