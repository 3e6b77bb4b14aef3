"""The settings of a call, its targets, and the kinds and grants of its peers: plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from telephony.sdp import DEFAULT_ALLOWED, Srtp
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri


class PeerKind(StrEnum):
    """The kinds of peer, which decide what we believe and what we send to the peer."""

    OUTSIDE = "outside"
    """A trunk, PBX or target that is not trusted. Anybody may be behind it."""
    TRUSTED = "trusted"
    """A trusted trunk or PBX, inside the trust domain (RFC 3325)."""
    PHONE = "phone"
    """One of our own phones, inside the trust domain. A caller must not be able to control it."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The rights of one trusted peer towards parties inside the trust domain; by default none."""

    headers: frozenset[str] = frozenset()
    """The lower-case names of further header fields that are passed on, such as "x-queue"."""
    ring_tones: tuple[str, ...] = ()
    """The ring tones that the peer may choose in Alert-Info, such as "Bellcore-dr2"."""
    auto_answer: bool = False
    """True if the peer may make a phone answer by itself, or control a phone by a NOTIFY."""

    messages: bool = False
    """True if the peer may show texts on a phone by a MESSAGE within a call."""


NO_GRANTS = Grants()


@dataclass(frozen=True, slots=True)
class SessionInterval:
    """The session interval for which we ask, and the shortest that we accept (RFC 4028)."""

    wanted: int = 1800
    """Our Session-Expires, in seconds; it is at least `least`."""
    least: int = 90
    """Our Min-SE, in seconds; it is at least 90."""

    def __post_init__(self) -> None:
        if self.least < 90 or self.wanted < self.least:
            raise ValueError("session_expires must be at least min_se, and min_se at least 90")


@dataclass(frozen=True, slots=True)
class CallSettings:
    """The settings of one call. All times are in seconds."""

    ring_timeout: float = 180.0
    """The longest time for which the targets of a new call ring; Expires can shorten it."""
    session: SessionInterval = SessionInterval()
    recall_timeout: float = 30.0
    """The time for which the recall rings, after a failed transfer whose sender has hung up."""
    transfer_timeout: float = 60.0
    """The time for which the targets of a transfer ring."""
    request_timeout: float = 33.0
    """The time to wait for the answer to an offer that we pass on, before its sender gets 504."""
    codecs: tuple[str, ...] = DEFAULT_ALLOWED
    """The encoding names that we pass on. The finaliser cannot decode any other."""
    allow_transfer: bool = True
    """If false, a REFER is refused with 603."""
    trust_caller: bool = False
    """True for a trusted trunk, with which we exchange asserted identities (RFC 3325)."""
    caller_is_phone: bool = False
    """True for a phone, maybe behind NAT: requests go to its INVITE's source, not its Contact."""
    caller_grants: Grants = NO_GRANTS
    """The grants of the trusted trunk that brought the call."""
    caller_extension: str = ""
    """The extension of the caller's phone, by which others see it; "" if the caller is no phone."""
    caller_user: str = ""
    """The user of the caller's phone, a name shown inside the trust domain; "" if unknown."""
    caller_srtp: Srtp = Srtp.OFF
    urgent: bool = False
    """True if the legs may have the media ports that are reserved for urgent calls."""
    max_legs: int = 32
    """The most legs of one call, ended ones included; `CallCore.new_leg` refuses a further one."""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination that a call may ring: a phone, or a phone number at a PBX or trunk."""

    uri: Uri
    """The Request-URI of our INVITE: a phone's registered contact, or a phone number at the PBX."""
    destination: Address
    """The address to which the INVITE is sent."""
    name: str = ""
    """The extension of a phone, or the user part of `uri` at a PBX or trunk; "" without one."""
    user: str = ""
    """The user who will answer at this target; "" if unknown before the answer."""
    trust: bool = False
    """True inside the trust domain (RFC 3325): it may receive asserted identities."""
    grants: Grants = NO_GRANTS
    """The grants of the target, if it is a trusted PBX or trunk."""
    is_phone: bool = False
    """True for a phone, maybe behind NAT: requests go where the INVITE went, not to its Contact."""
    srtp: Srtp = Srtp.OFF
    """The use of SRTP on our leg to this target, independent of the caller's leg."""
    others: tuple[Address, ...] = ()
    """Further addresses, tried in turn if `destination` fails (RFC 3263 section 4.3)."""
    path: tuple[NameAddr, ...] = ()
    """The Path of a phone's registration (RFC 3327): the Route fields of our INVITE, in order."""
    alternatives: tuple[Target, ...] = ()
    """Further targets, tried in turn if all addresses of this target fail."""

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
    """The seconds after which these targets ring too.

    They ring earlier if all first targets have failed, and at half the ring time at the latest.
    """
