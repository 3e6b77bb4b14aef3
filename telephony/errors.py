"""The exceptions of this package.

TelephonyError
├── ParseError          the peer broke the protocol; `status` is the answer it deserves
│   ├── SipParseError
│   ├── SdpParseError
│   └── RtpParseError
├── ProtocolError       we broke it: local misuse
└── NoPortsError        no media ports are left
"""


class TelephonyError(Exception):
    """Base of every error that this package raises."""


class ParseError(TelephonyError):
    """What a peer sent cannot be read.

    `reason` says why, without quoting what was sent; `status` is the SIP status it deserves.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class SipParseError(ParseError):
    """A SIP message or one of its headers cannot be read."""


class SdpParseError(ParseError):
    """A session description cannot be read, or (status 488) holds nothing that we can do."""


class RtpParseError(ParseError):
    """An RTP or RTCP packet cannot be read."""


class ProtocolError(TelephonyError):
    """The program asked for what the protocol forbids."""


class NoPortsError(TelephonyError):
    """No pair of media ports is free."""
