"""One leg of the relay: its sockets and what it knows of its peer.

A leg has up to two sockets for RTP on one port: `line`, connected to the peer, and `pair.rtp`, to
which comes what anyone else sends; so only the second has to ask who the sender is. What is done
with a packet stands in `media_path`. A leg whose media is protected sends nothing that is not.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.aio.ports import PortPair
from telephony.errors import SrtpError
from telephony.rtp.renumbering import Renumbering
from telephony.rtp.srtp import Protection
from telephony.sdp import KeyPair, RemoteMedia

Tap = Callable[[int, bytes, float, bool], None]
"""`tap(track, data, arrival_mono, withheld)`: what stores a packet. It must not raise.

Of a telephone-event, or of a payload type that nobody negotiated, `data` is the fixed header alone
and `withheld` true.
"""
Watcher = Callable[[bytes, float], None]
"""`watch(data, arrival_mono)`: what is shown each telephone-event packet."""

_BURST_S = 5.0
_FORGERIES = 25
"""Packets that are not authentic before anyone is told: those that cross a new key are few."""
_NOWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared


class SourceRule(StrEnum):
    """Which sender is believed to be the leg's peer."""

    SDP_HOST = "sdp-host"
    """Any port of the host that the SDP names."""
    SYMMETRIC = "symmetric"
    """The very address that we send to (RFC 4961)."""
    LATCH = "latch"
    """The first valid packet's sender, until there is new SDP; we send there too, since a peer
    behind address translation can be reached in no other way."""


@dataclass(slots=True)
class Counters:
    """Packets of one leg since it was opened; RTCP is counted apart."""

    received: int = 0
    """Valid RTP from the peer, events included."""
    withheld: int = 0
    """Of those: not passed on (nobody joined, on hold, an event that is filtered)."""
    unsent: int = 0
    """Of those: the socket would not take it, or it could not be protected."""
    events: int = 0
    """Of those: telephone events."""
    unknown: int = 0
    """Of those: payload types that nobody negotiated; passed on, never stored."""
    unwanted: int = 0
    """From a peer that must not send now (inactive, held): neither passed on nor stored."""
    refused: int = 0
    """From a sender that the source rule does not believe; SRTP that is not authentic."""
    malformed: int = 0
    """Neither RTP nor RTCP: STUN, DTLS, too short."""
    rtcp: int = 0
    first: float | None = None
    """Arrival of the first packet, monotonic seconds."""
    last: float | None = None
    """Arrival of the last."""

    @property
    def forwarded(self) -> int:
        """Packets that went on to the other leg."""
        return self.received - self.withheld - self.unsent


@dataclass(slots=True, eq=False)
class MediaLeg:
    """Sockets and settings. The relay changes them and then asks for new readers."""

    leg_id: str
    pair: PortPair
    rule: SourceRule
    on_refused: Callable[[str, str, int], None] | None = None
    renew: "Callable[[MediaLeg | None], None]" = lambda _: None
    """Makes a leg's readers anew, when what they took for granted has changed."""
    line: socket.socket | None = None
    """Connected to `line_to`; the relay keeps it so that this is `address`."""
    line_to: tuple[str, int] | None = None
    remote: RemoteMedia | None = None
    peer: "MediaLeg | None" = None
    renumbered: dict[int, int] = field(default_factory=dict)
    """Payload types on the way to `peer`, by the one received."""
    events: set[int] = field(default_factory=set)
    """Payload types that were ever agreed on for telephone events."""
    kinds: bytes = b""
    """What a packet of the peer's is by its second byte, since there is a `remote`."""
    tap: Tap | None = None
    track: int = 0
    watcher: Watcher | None = None
    drops_events: bool = False
    renumbering: Renumbering | None = None
    """Set from the first time that events are dropped: what goes on is to have no gaps."""
    latched: tuple[str, int] | None = None
    protection: Protection | None = None
    """SRTP as it is now agreed on; None while the leg is plain."""
    kept: Protection | None = None
    """As it was ever agreed on: what it has counted must not be lost."""
    reborn: bool = False
    """It had an earlier life, of whose SRTP nothing is known."""
    forged: int = 0
    """Packets that were not authentic, since SDP last changed."""
    counters: Counters = field(default_factory=Counters)
    waiting_since: float = 0.0
    """When media was last due to begin: the floor of any silence."""
    silence_reported: bool = False
    refused_at: float = float("-inf")

    @property
    def address(self) -> tuple[str, int] | None:
        """The one address that RTP comes from and goes to; None while it is not known."""
        if self.rule is SourceRule.LATCH:
            return self.latched
        remote = self.remote
        if remote is None or remote.host in _NOWHERE or not remote.rtp_port:
            return None
        return remote.host, remote.rtp_port

    @property
    def destination(self) -> tuple[str, int] | None:
        """Where RTP for this leg's peer goes; None while it wants none."""
        if self.remote is None or not self.remote.receive:
            return None
        if self.rule is SourceRule.LATCH and self.latched:
            return self.latched
        return self.remote.host, self.remote.rtp_port

    @property
    def control_destination(self) -> tuple[str, int] | None:
        """Where RTCP for this leg's peer goes, on hold too."""
        if self.remote is None or self.remote.host in _NOWHERE:
            return None
        if self.remote.rtcp_mux and self.rule is SourceRule.LATCH and self.latched:
            return self.latched
        return self.remote.rtcp_host or self.remote.host, self.remote.rtcp_port

    def secure(self, keys: KeyPair | None) -> None:
        """Protect by these keys from now on; None: by none."""
        self.forged = 0
        if keys is not None and self.kept is not None:
            self.kept.rekey(keys)
        elif keys is not None:
            self.kept = Protection(keys, rename=self.reborn)
        self.protection = self.kept if keys is not None else None

    def send_own(self, data: bytes) -> None:
        """Send an RTP packet of our own making to the peer, if it wants any."""
        target = self.destination
        if target is None:
            return
        try:
            self.pair.rtp.sendto(self.protection.protect(data) if self.protection else data, target)
        except (OSError, SrtpError):
            self.counters.unsent += 1

    def send_control(self, data: bytes) -> None:
        """Send RTCP to the peer, on RTP's port if it shares that."""
        target = self.control_destination
        if target is None or self.remote is None:
            return
        made = self.pair.rtp if self.remote.rtcp_mux else self.pair.rtcp
        with contextlib.suppress(OSError, SrtpError):  # reports are repeated: a lost one is none
            made.sendto(self.protection.protect_control(data) if self.protection else data, target)

    def may_be(self, host: str, port: int) -> bool:
        """Whether a packet from there could be the peer's, before it has shown that it is."""
        if self.rule is SourceRule.LATCH:
            return self.latched is None or (host, port) == self.latched
        return self.believes(host, port)

    def believes(self, host: str, port: int) -> bool:
        """Whether a valid packet from there is the peer's; latches where the rule says so."""
        if self.remote is None:
            return False
        if self.rule is SourceRule.SDP_HOST:
            return host == self.remote.host
        if self.rule is SourceRule.SYMMETRIC:
            return (host, port) == (self.remote.host, self.remote.rtp_port)
        if self.latched is None:
            self.latched = (host, port)
            self.renew(self)
            self.renew(self.peer)
        return (host, port) == self.latched

    def refuse_forged(self, host: str, port: int, now: float) -> None:
        """Count a packet that is not authentic, and tell the owner when there are many."""
        self.forged += 1
        if self.forged < _FORGERIES:
            self.counters.refused += 1
        else:
            self.refuse(host, port, now)

    def refuse(self, host: str, port: int, now: float) -> None:
        """Count a packet from a stranger, and tell the owner once a burst."""
        self.counters.refused += 1
        quiet = now - self.refused_at > _BURST_S
        self.refused_at = now
        if quiet and self.on_refused:
            self.on_refused(self.leg_id, host, port)
