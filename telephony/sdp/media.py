"""Where media goes: our side and the peer's side of one stream, as plain values.

A `LocalMedia` is what the relay has bound and what our SDP therefore says; a `RemoteMedia` is
what the relay needs to know of the peer's SDP. Nothing here parses or negotiates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.sdp.codecs import Codec
from telephony.sdp.crypto import KeyPair, MasterKey, Srtp, Suite


class Direction(StrEnum):
    """The direction attributes of RFC 8866 section 6.7, from the view of who wrote them."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> "Direction":
        """The attribute of a party that sends and receives as told."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        """Whether the writer sends media."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """Whether the writer is willing to receive media."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def reverse(self) -> "Direction":
        """The same stream as the other party would write it."""
        return Direction.of(sends=self.receives, receives=self.sends)


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What our SDP says for one leg: the address, and how media is protected there.

    `host` is the advertised address, an IPv4 or IPv6 literal; RTCP is on `port + 1`, and on
    `port` where the peer wishes it (RFC 5761).
    """

    host: str
    port: int
    srtp: Srtp = Srtp.OFF
    keys: Mapping[Suite, MasterKey] = field(default_factory=dict, repr=False, compare=False)
    """What we protect with, by suite; of no use while `srtp` is off."""

    @property
    def rtcp_port(self) -> int:
        """The RTCP port of the pair."""
        return self.port + 1


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """What one peer's SDP says of its audio stream, ready for the relay.

    `send` and `receive` are the peer's: `receive=False` means that nothing is sent to it.
    """

    host: str
    """IP literal to send to; may be the unspecified address while `receive` is false."""
    rtp_port: int
    rtcp_port: int
    receive: bool = True
    send: bool = True
    payloads: Mapping[int, Codec] = field(default_factory=dict)
    """Payload types that the peer may *send*: those of our SDP to it, then those of its own."""
    accepts: Mapping[int, Codec] = field(default_factory=dict)
    """Payload types that the peer *receives*: those of its own SDP."""
    rtcp_host: str = ""
    """IP literal of RTCP where that is another (RFC 3605)."""
    rtcp_mux: bool = False
    """RTCP shares RTP's port, both ways (RFC 5761); `rtcp_port` is `rtp_port` then."""
    keys: KeyPair | None = None
    """Both ways are SRTP with these; None: plain RTP."""

    @property
    def direction(self) -> Direction:
        """The peer's direction as one attribute."""
        return Direction.of(sends=self.send, receives=self.receive)

    @property
    def on_hold(self) -> bool:
        """Whether the peer holds the other party: it does not want to receive."""
        return not self.receive


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line of the SDP we write (RFC 8866 section 5.2).

    One `session_id` a leg; `version` grows by one whenever what we say on that leg changes.
    """

    session_id: int
    version: int = 1

    def next(self) -> "Origin":
        """The origin of the next, changed, description."""
        return Origin(self.session_id, self.version + 1)
