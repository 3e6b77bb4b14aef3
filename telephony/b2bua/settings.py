"""The settings of a call, and the targets that it may ring.

These are plain values; this module does not know whether they come from a file or a database.
"""

from dataclasses import dataclass

from telephony.sdp import DEFAULT_ALLOWED, Srtp
from telephony.sip.events import Address
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.uri import Uri


@dataclass(frozen=True, slots=True)
class CallSettings:
    """The settings of one call. All times are in seconds."""

    ring_timeout: float = 180.0
    """Time for which the callees are rung before the caller gets a failure."""
    session_expires: int = 1800
    """The Session-Expires that we ask for (RFC 4028); at least `min_se`."""
    min_se: int = 90
    """The shortest session interval that we accept; at least 90."""
    recall_timeout: float = 30.0
    """Time for which the sender of a REFER is rung again if it hung up and the transfer failed."""
    transfer_timeout: float = 60.0
    """Time for which a transfer's target is rung before the transfer fails."""
    request_timeout: float = 33.0
    """Time that the other leg has to answer an offer that was passed on; then we answer 504."""
    codecs: tuple[str, ...] = DEFAULT_ALLOWED
    """Encoding names that stay in an offer: those that the finaliser can decode."""
    allow_transfer: bool = True
    """False: every REFER is refused with 603."""
    trust_caller: bool = False
    """True for a caller's side that is a trusted trunk: identities (RFC 3325) pass both ways."""
    caller_is_phone: bool = False
    """The same as `Target.is_phone`, for the caller's leg."""
    caller_srtp: Srtp = Srtp.OFF
    """The protection of media on the caller's leg."""
    max_legs: int = 32
    """The most legs that one call may have over its life; any further leg is refused."""

    def __post_init__(self) -> None:
        if self.min_se < 90 or self.session_expires < self.min_se:
            raise ValueError("session_expires must be at least min_se, and min_se at least 90")


@dataclass(frozen=True, slots=True)
class Target:
    """A destination that a call may ring."""

    uri: Uri
    """The Request-URI: a registered contact, or a number at the PBX."""
    destination: Address
    """The address to which the INVITE is sent."""
    name: str = ""
    """The name of an extension or route."""
    user: str = ""
    """The user at this target, if known before the answer; otherwise empty."""
    trust: bool = False
    """True if the target is inside the trust domain (RFC 3325): it may see an asserted identity."""
    is_phone: bool = False
    """True for a phone behind NAT: requests go where the INVITE went, whatever its Contact says."""
    srtp: Srtp = Srtp.OFF
    """The protection of media on this leg, whatever the caller's leg uses."""
    others: tuple[Address, ...] = ()
    """Further addresses of the target, tried in order if the first fails (RFC 3263 4.3)."""
    path: tuple[NameAddr, ...] = ()
    """The proxies through which it registered, the nearest first: the INVITE's Route (RFC 3327)."""
