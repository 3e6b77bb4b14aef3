"""What a call is told by whoever made it: its settings, and whom it may ring.

Plain values; where they come from (a file, a database) is nobody's business here.
"""

from dataclasses import dataclass

from telephony.sdp import DEFAULT_ALLOWED, Srtp
from telephony.sip.events import Address
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How one call behaves. Every time is in seconds."""

    ring_timeout: float = 180.0
    """How long advisors are rung before the caller is told that nobody answers."""
    session_expires: int = 1800
    """Session-Expires that we ask for (RFC 4028); not below 90."""
    min_se: int = 90
    """Shortest session interval that we accept."""
    recall_timeout: float = 30.0
    """How long the advisor is rung again after a blind transfer failed behind their back."""
    transfer_timeout: float = 60.0
    """How long a transfer's target is rung before the transfer has failed."""
    request_timeout: float = 33.0
    """How long a request that was carried across may stay unanswered before we answer it."""
    codecs: tuple[str, ...] = DEFAULT_ALLOWED
    """Encoding names that an offer is cut to: what the finaliser can decode."""
    allow_transfer: bool = True
    """False: every REFER is refused with 603."""
    trust_caller: bool = False
    """The caller's side is a trusted trunk: identities (RFC 3325) pass from it and to it."""
    pin_caller: bool = False
    """As `Target.pinned`, for the caller's leg."""
    caller_srtp: Srtp = Srtp.OFF
    """How media may be protected on the caller's leg."""
    max_legs: int = 32
    """Most legs that one call may have over its life; dialling beyond it is refused."""

    def __post_init__(self) -> None:
        if self.min_se < 90 or self.session_expires < self.min_se:
            raise ValueError("session_expires must be at least min_se, and min_se at least 90")


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody on the advisor's side whom a call may ring."""

    uri: Uri
    """Request-URI: a registered contact, or a number at the PBX."""
    destination: Address
    """Where the INVITE is sent."""
    name: str = ""
    """Extension or route name."""
    user: str = ""
    """The advisor, where it is known before they answer."""
    trust: bool = False
    """The target is inside the trust domain (RFC 3325): it may see an asserted identity."""
    pinned: bool = False
    """Behind NAT: requests go where the INVITE went, whatever the peer's Contact says."""
    srtp: Srtp = Srtp.OFF
    """How media may be protected on this leg; the caller's leg has nothing to do with it."""
    others: tuple[Address, ...] = ()
    """Where else it may be, in order, if nobody answers there (RFC 3263 4.3)."""
    path: tuple[NameAddr, ...] = ()
    """The proxies by which it registered, the nearest first: the INVITE's Route (RFC 3327)."""
