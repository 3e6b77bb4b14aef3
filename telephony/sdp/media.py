"""Our side and the peer's side of one media stream, as plain values.

A `LocalMedia` holds the address that the media relay has bound, which our SDP therefore contains. A
`RemoteMedia` holds what the relay needs to know from the peer's SDP. This module does not parse or
negotiate SDP.
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
        """Return the direction attribute for a party that sends or receives as given."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        """True if the party that wrote the attribute sends media."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """True if the party that wrote the attribute accepts media."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def reverse(self) -> "Direction":
        """The direction that the other party would write for the same stream."""
        return Direction.of(sends=self.receives, receives=self.sends)


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """The address in our SDP for one leg, and the protection of the media on this leg.

    `host` is the address in the SDP, an IPv4 or IPv6 literal. RTCP uses `port + 1`, or `port` if
    the peer asks for that (RFC 5761).
    """

    host: str
    port: int
    srtp: Srtp = Srtp.OFF
    keys: Mapping[Suite, MasterKey] = field(default_factory=dict, repr=False, compare=False)
    """The SRTP keys for the media that we send, by suite; they are not used while `srtp` is off."""


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """The audio stream in one peer's SDP, as the media relay needs it.

    `send` and `receive` are seen from the peer: if `receive` is false, we send nothing to the peer.
    """

    host: str
    """The IP literal to which media is sent.

    It may be the unspecified address (0.0.0.0 or ::) while `receive` is false.
    """
    rtp_port: int
    rtcp_port: int
    receive: bool = True
    send: bool = True
    payloads: Mapping[int, Codec] = field(default_factory=dict)
    """The payload types that the peer may *send*.

    They are those in our SDP for the peer, then those in the peer's own SDP.
    """
    accepts: Mapping[int, Codec] = field(default_factory=dict)
    """The payload types that the peer *receives*: those in the peer's own SDP."""
    rtcp_host: str = ""
    """The IP literal to which RTCP is sent, if it differs from `host` (RFC 3605); otherwise empty.
    """
    rtcp_mux: bool = False
    """True if RTCP and RTP use the same port in both directions (RFC 5761).

    `rtcp_port` is then equal to `rtp_port`.
    """
    keys: KeyPair | None = None
    """The SRTP keys of both directions; None for plain RTP."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The values in the o= line of an SDP that we write (RFC 8866 section 5.2).

    `session_id` is different for each leg. `version` grows by one each time our description on that
    leg changes.
    """

    session_id: int
    version: int = 1

    def next(self) -> "Origin":
        """Return the o= line values for the next, changed description."""
        return Origin(self.session_id, self.version + 1)
