"""One leg of the relay: its sockets and what is known of its peer.

A leg has up to two RTP sockets on one port. `connected` is connected to the peer. `pair.rtp`
receives packets from every other source, so that only its packets need a check of the sender.
`media_path` defines what is done with a packet. A leg with SRTP sends no unprotected media.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.aio.ports import PortPair
from telephony.errors import SrtpError
from telephony.rtp.srtp import Protection
from telephony.sdp import KeyPair, RemoteMedia

Tap = Callable[[int, bytes, float, bool], None]
"""`tap(track, data, arrival_mono, withheld)`: a function that stores a packet. It must not raise.

For a telephone event, or a payload type that was not negotiated, `data` is only the fixed header
and `withheld` is true.
"""
Watcher = Callable[[bytes, float], None]
"""`watch(data, arrival_mono)`: a function that receives each telephone-event packet."""

_BURST_S = 5.0
_FORGERIES = 25
"""Packets that are not authentic before the leg's owner is notified.

A few are normal: they were sent just before a key changed.
"""
_NOWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared


class SourceRule(StrEnum):
    """The rule by which a sender is accepted as the leg's peer."""

    SDP_HOST = "sdp-host"
    """Any port of the host that the SDP names."""
    SYMMETRIC = "symmetric"
    """Only the address and port that we send to (RFC 4961)."""
    LATCH = "latch"
    """The sender of the first valid packet, until new SDP gives another address.

    We also send to that address, since a peer behind address translation can be reached in no other
    way.
    """


@dataclass(slots=True)
class Counters:
    """Counts of one leg's packets since it was opened; RTCP is counted separately."""

    received: int = 0
    """Valid RTP from the peer, telephone events included."""
    withheld: int = 0
    """The part of `received` that was not forwarded: no joined leg, or hold."""
    unsent: int = 0
    """Packets that the socket did not accept or that could not be protected."""
    events: int = 0
    """The part of `received` that was telephone events."""
    unknown: int = 0
    """The part of `received` whose payload type was not negotiated: forwarded, never stored."""
    unwanted: int = 0
    """RTP from a peer that must not send now (inactive, held): neither forwarded nor stored."""
    refused: int = 0
    """Packets from a sender that the source rule does not accept, or SRTP not authentic."""
    malformed: int = 0
    """Packets that are neither RTP nor RTCP: STUN, DTLS, too short."""
    rtcp: int = 0
    first: float | None = None
    """The arrival of the first packet, in monotonic seconds."""
    last: float | None = None
    """The arrival of the last packet, in monotonic seconds."""

    @property
    def forwarded(self) -> int:
        """The number of packets that went on to the other leg."""
        return self.received - self.withheld - self.unsent


@dataclass(slots=True, eq=False)
class MediaLeg:
    """A leg's sockets and settings. The relay changes them and then makes new readers."""

    leg_id: str
    pair: PortPair
    rule: SourceRule
    on_refused: Callable[[str, str, int], None] | None = None
    rebuild_readers: "Callable[[MediaLeg | None], None]" = lambda _: None
    """Makes a leg's readers again when a setting that they depend on has changed."""
    connected: socket.socket | None = None
    """The RTP socket connected to `connected_to`, which the relay keeps equal to `address`."""
    connected_to: tuple[str, int] | None = None
    remote: RemoteMedia | None = None
    peer: "MediaLeg | None" = None
    payload_map: dict[int, int] = field(default_factory=dict)
    """The payload type to send to `peer`, by the payload type received."""
    events: set[int] = field(default_factory=set)
    """Payload types that were ever agreed on for telephone events."""
    kinds: bytes = b""
    """The kind of a packet from the peer by its second byte; empty until `remote` is set."""
    tap: Tap | None = None
    track: int = 0
    watcher: Watcher | None = None
    latched: tuple[str, int] | None = None
    protection: Protection | None = None
    """SRTP as now agreed on; None while the leg is unprotected."""
    srtp_state: Protection | None = None
    """SRTP as it was ever agreed on. Its counters must not be lost while the leg is unprotected."""
    reopened: bool = False
    """True if the leg was opened before a restart. The state of its SRTP is then unknown."""
    forged: int = 0
    """Packets that were not authentic, since the SDP last changed."""
    counters: Counters = field(default_factory=Counters)
    waiting_since: float = 0.0
    """The time when media was last due to begin, in monotonic seconds; no silence is older."""
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
        """The address to which RTP for this leg's peer is sent; None while it accepts no media."""
        if self.remote is None or not self.remote.receive:
            return None
        if self.rule is SourceRule.LATCH and self.latched:
            return self.latched
        return self.remote.host, self.remote.rtp_port

    @property
    def control_destination(self) -> tuple[str, int] | None:
        """The address to which RTCP for this leg's peer is sent, also on hold; None if unknown."""
        if self.remote is None or self.remote.host in _NOWHERE:
            return None
        if self.remote.rtcp_mux and self.rule is SourceRule.LATCH and self.latched:
            return self.latched
        return self.remote.rtcp_host or self.remote.host, self.remote.rtcp_port

    def secure(self, keys: KeyPair | None) -> None:
        """Protect the media with these keys from now on; None turns protection off."""
        self.forged = 0
        if keys is not None and self.srtp_state is not None:
            self.srtp_state.rekey(keys)
        elif keys is not None:
            self.srtp_state = Protection(keys, rename=self.reopened)
        self.protection = self.srtp_state if keys is not None else None

    def send_own(self, data: bytes) -> None:
        """Send an RTP packet that we made to the peer, unless the peer accepts no media."""
        target = self.destination
        if target is None:
            return
        try:
            self.pair.rtp.sendto(self.protection.protect(data) if self.protection else data, target)
        except (OSError, SrtpError):
            self.counters.unsent += 1

    def send_control(self, data: bytes) -> None:
        """Send RTCP to the peer, from the RTP port if the peer multiplexes both (RFC 5761)."""
        target = self.control_destination
        if target is None or self.remote is None:
            return
        sock = self.pair.rtp if self.remote.rtcp_mux else self.pair.rtcp
        with contextlib.suppress(OSError, SrtpError):  # reports repeat: a loss is harmless
            sock.sendto(self.protection.protect_control(data) if self.protection else data, target)

    def is_possible_source(self, host: str, port: int) -> bool:
        """Return whether a packet from this address could be the peer's.

        This is for packets that are not authenticated yet. It never latches; `accept_source` may.
        """
        if self.rule is SourceRule.LATCH:
            return self.latched is None or (host, port) == self.latched
        return self.accept_source(host, port)

    def accept_source(self, host: str, port: int) -> bool:
        """Return whether a valid packet from this address is the peer's.

        With the rule `LATCH`, the first such call latches to the address.
        """
        if self.remote is None:
            return False
        if self.rule is SourceRule.SDP_HOST:
            return host == self.remote.host
        if self.rule is SourceRule.SYMMETRIC:
            return (host, port) == (self.remote.host, self.remote.rtp_port)
        if self.latched is None:
            self.latched = (host, port)
            self.rebuild_readers(self)
            self.rebuild_readers(self.peer)
        return (host, port) == self.latched

    def refuse_forged(self, host: str, port: int, now: float) -> None:
        """Count a packet that is not authentic; notify the owner when there are many."""
        self.forged += 1
        if self.forged < _FORGERIES:
            self.counters.refused += 1
        else:
            self.refuse(host, port, now)

    def refuse(self, host: str, port: int, now: float) -> None:
        """Count a packet from a wrong source; notify the owner once for each burst."""
        self.counters.refused += 1
        quiet = now - self.refused_at > _BURST_S
        self.refused_at = now
        if quiet and self.on_refused:
            self.on_refused(self.leg_id, host, port)
