"""Our side and the peer's side of one media stream, as plain values.

A `LocalMedia` is what the relay has bound and what our SDP therefore contains. A `RemoteMedia` is
what the relay needs to know of the peer's SDP. Nothing here parses or negotiates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.sdp.codecs import Codec
from telephony.sdp.crypto import KeyPair, MasterKey, Srtp, Suite


class Direction(StrEnum):
    """The direction attributes of RFC 8866 section 6.7, as seen by the party that wrote them."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> "Direction":
        """Return the attribute of a party that sends and receives like this."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        """True if the writer sends media."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """True if the writer is willing to receive media."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def reverse(self) -> "Direction":
        """The direction of the same stream as the other party would write it."""
        return Direction.of(sends=self.receives, receives=self.sends)


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """The address in our SDP for one leg, and the protection of media there.

    `host` is the advertised address, an IPv4 or IPv6 literal. RTCP is on `port + 1`, or on `port`
    if the peer asks for that (RFC 5761).
    """

    host: str
    port: int
    srtp: Srtp = Srtp.OFF
    keys: Mapping[Suite, MasterKey] = field(default_factory=dict, repr=False, compare=False)
    """The keys that we send under, by suite; unused while `srtp` is off."""


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """The audio stream in one peer's SDP, as the relay needs it.

    `send` and `receive` are the peer's: `receive=False` means that nothing is sent to it.
    """

    host: str
    """The IP literal to send to; it may be the unspecified address while `receive` is false."""
    rtp_port: int
    rtcp_port: int
    receive: bool = True
    send: bool = True
    payloads: Mapping[int, Codec] = field(default_factory=dict)
    """Payload types that the peer may *send*: those of our SDP to it, then those of its own."""
    accepts: Mapping[int, Codec] = field(default_factory=dict)
    """Payload types that the peer *receives*: those of its own SDP."""
    rtcp_host: str = ""
    """The IP literal to send RTCP to, if it is another one (RFC 3605); else empty."""
    rtcp_mux: bool = False
    """True if RTCP shares RTP's port both ways (RFC 5761); `rtcp_port` is `rtp_port` then."""
    keys: KeyPair | None = None
    """The SRTP keys of both directions; None for plain RTP."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line of the SDP that we write (RFC 8866 section 5.2).

    Each leg has one `session_id`. `version` grows by one whenever our description on that leg
    changes.
    """

    session_id: int
    version: int = 1

    def next(self) -> "Origin":
        """Return the origin of the next, changed description."""
        return Origin(self.session_id, self.version + 1)
