"""The settings of a call, and the targets that a call may ring.

These are plain values. This module does not read them from a file or a database.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from telephony.b2bua.trust import NO_GRANTS, Grants
from telephony.sdp import DEFAULT_ALLOWED, Srtp
from telephony.sip.events import Address
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.uri import Uri


@dataclass(frozen=True, slots=True)
class CallSettings:
    """The settings of one call. All times are in seconds."""

    ring_timeout: float = 180.0
    """The time for which the callees ring before the caller gets a failure status."""
    session_expires: int = 1800
    """The Session-Expires that we ask for (RFC 4028); it is at least `min_se`."""
    min_se: int = 90
    """The shortest session interval that we accept; it is at least 90."""
    recall_timeout: float = 30.0
    """The time in seconds for which we ring the sender of a REFER after the transfer has failed.

    We ring the sender only if it has already hung up. This ringing is called a recall.
    """
    transfer_timeout: float = 60.0
    """The time for which the target of a transfer rings before the transfer fails."""
    request_timeout: float = 33.0
    """The longest time from an offer that we send to one leg until the answer of this leg.

    If the answer does not come in this time, the other leg, which sent the offer to us, gets 504.
    """
    codecs: tuple[str, ...] = DEFAULT_ALLOWED
    """The encoding names of the codecs that a call may use.

    We remove all other codecs from an offer, because the finaliser cannot decode them.
    """
    allow_transfer: bool = True
    """True if a REFER may transfer the call. If false, every REFER is refused with 603."""
    trust_caller: bool = False
    """True if the peer of the caller's leg is a trusted trunk.

    We accept asserted identities (RFC 3325) from a trusted peer, and we send asserted identities to
    a trusted peer.
    """
    caller_is_phone: bool = False
    """True if the caller is a phone, which may be behind NAT.

    Requests within the dialog of such a caller go to the address from which its INVITE came, and
    not to the address in its Contact.
    """
    caller_grants: Grants = NO_GRANTS
    """The grants of the trusted trunk that brought the call."""
    caller_extension: str = ""
    """The extension of the caller's phone, by which others see it; "" if the caller is no phone."""
    caller_user: str = ""
    """The user of the caller's phone, whose name is shown inside the trust domain; or ""."""
    caller_srtp: Srtp = Srtp.OFF
    """The protection of the media on the caller's leg: none, optional SRTP or only SRTP."""
    urgent: bool = False
    """True if the legs may have the media ports that are reserved for urgent calls."""
    max_legs: int = 32
    """The largest number of legs in one call; ended legs are also counted.

    A leg above this limit is refused.
    """

    def __post_init__(self) -> None:
        if self.min_se < 90 or self.session_expires < self.min_se:
            raise ValueError("session_expires must be at least min_se, and min_se at least 90")


@dataclass(frozen=True, slots=True)
class Target:
    """A destination that a call may ring: a phone, or a phone number at a PBX or trunk."""

    uri: Uri
    """The Request-URI of our INVITE: a phone's registered contact, or a phone number at the PBX."""
    destination: Address
    """The address to which the INVITE is sent."""
    name: str = ""
    """The name of this target's extension, or of its route to a PBX or trunk."""
    user: str = ""
    """The user who will answer at this target; empty if the user is not known before the answer."""
    trust: bool = False
    """True if the target is inside the trust domain (RFC 3325), so that it may receive asserted
    identities.
    """
    grants: Grants = NO_GRANTS
    """The grants of the target, if it is a trusted PBX or trunk."""
    is_phone: bool = False
    """True for a phone, which may be behind NAT.

    Requests within the dialog of such a target go to the address to which we sent the INVITE, and
    not to the address in its Contact.
    """
    srtp: Srtp = Srtp.OFF
    """The protection of the media on this target's leg; it is independent of the caller's leg."""
    others: tuple[Address, ...] = ()
    """Further addresses of the target, which we try one after the other if `destination` fails (RFC
    3263 section 4.3).
    """
    path: tuple[NameAddr, ...] = ()
    """The proxies through which the target registered (RFC 3327), the proxy nearest to us first.

    They are the Route header fields of our INVITE.
    """
    alternatives: tuple[Target, ...] = ()
    """Further targets, which we try one after the other if all addresses of this one fail."""

    @property
    def following(self) -> Target | None:
        """The target to try if `destination` fails; None if there is none."""
        if self.others:
            return replace(self, destination=self.others[0], others=self.others[1:])
        if not self.alternatives:
            return None
        first, *rest = self.alternatives
        return replace(first, alternatives=(*first.alternatives, *rest))


@dataclass(frozen=True, slots=True)
class LaterTargets:
    """Targets that ring only if the first targets of a call do not answer."""

    targets: tuple[Target, ...]
    after: float
    """The seconds after which they ring too. If all first targets fail before, they ring then."""
