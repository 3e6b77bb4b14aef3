"""Our side and the peer's side of one media stream, as plain values.

`LocalMedia` has the address in our SDP, at which the media relay or a phone receives. `RemoteMedia`
has values from the peer's SDP. This module does not parse or negotiate SDP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from telephony.sdp.codecs import Codec
from telephony.sdp.crypto import KeyPair, MasterKey, Srtp, Suite


class Direction(StrEnum):
    """The direction attributes (RFC 8866 section 6.7): with "sendonly", the writer only sends."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> "Direction":
        """Return the direction attribute of a party, by whether it sends and receives media."""
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
        """The direction attribute that the other party would write for the same stream."""
        return Direction.of(sends=self.receives, receives=self.sends)


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """The address in our SDP for one leg, and the protection of the media on this leg.

    `host` is an IPv4 or IPv6 literal. RTCP uses `port + 1`, or `port` if both sides use rtcp-mux
    (RFC 5761).
    """

    host: str
    port: int
    srtp: Srtp = Srtp.OFF
    keys: Mapping[Suite, MasterKey] = field(default_factory=dict, repr=False, compare=False)
    """Our SRTP keys, one for each suite, for the media that we send; unused if `srtp` is off."""


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """The audio stream in one peer's SDP, with the values that the media relay needs.

    `send` and `receive` are from the peer's view: if `receive` is false, we send no RTP.
    """

    host: str
    """The IP literal to which we send media; may be unspecified while `receive` is false."""
    rtp_port: int
    rtcp_port: int
    receive: bool = True
    send: bool = True
    payloads: Mapping[int, Codec] = field(default_factory=dict)
    """The payload types that the peer may *send*, from both descriptions (see `remote_media`)."""
    accepts: Mapping[int, Codec] = field(default_factory=dict)
    """The payload types that the peer *receives*, from its own SDP."""
    rtcp_host: str = ""
    """The IP literal to which we send RTCP (RFC 3605); empty if it is equal to `host`."""
    rtcp_mux: bool = False
    """True if RTCP and RTP use one port in both directions (RFC 5761)."""
    keys: KeyPair | None = None
    """The SRTP keys of both directions; None for plain RTP."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The values in the o= line of an SDP that we write (RFC 8866 section 5.2).

    `session_id` is different for each leg. `version` grows by one with each changed description.
    """

    session_id: int
    version: int = 1

    def next(self) -> "Origin":
        """Return the o= line values for the next description, whose `version` is one higher."""
        return Origin(self.session_id, self.version + 1)


@lru_cache(maxsize=1024)
def ip_literal(text: str) -> IPv4Address | IPv6Address:
    """Return the IP address in `text` (IPv6 without brackets). Raises `ValueError`."""
    return ip_address(text)
