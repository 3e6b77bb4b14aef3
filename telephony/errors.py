"""The exceptions of this package, as one tree.

TelephonyError
├── ParseError                 the peer broke the protocol: what it sent cannot be read
│   ├── SipParseError          a SIP message, header or URI
│   ├── SdpParseError          a session description
│   └── RtpParseError          an RTP or RTCP packet
├── SrtpError                  a packet that is not authentic, a replay, or cannot be protected
├── ProtocolError              our own mistake: what we were about to do or send is not allowed
└── NoPortsError               no pair of media ports is free

A `ParseError` never quotes what it read: messages carry telephone numbers, and errors are logged.
"""


class TelephonyError(Exception):
    """Anything that this package raises on purpose."""


class ParseError(TelephonyError):
    """What the peer sent cannot be read.

    Attributes:
        reason: what is wrong, in a few words fit for a log.
        status: the SIP status to answer with, if an answer is possible at all.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class SipParseError(ParseError):
    """A SIP message, header or URI cannot be read."""


class SdpParseError(ParseError):
    """A session description cannot be read, or (status 488) holds nothing that we can do."""


class RtpParseError(ParseError):
    """An RTP or RTCP packet cannot be read."""


class SrtpError(TelephonyError):
    """An SRTP or SRTCP packet is not authentic or a replay; or ours cannot be protected."""


class ProtocolError(TelephonyError):
    """We were about to do or send what the protocol does not allow."""


class NoPortsError(TelephonyError):
    """No pair of media ports is free."""
