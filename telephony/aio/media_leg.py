"""One leg of the relay: its sockets, its settings, and the known facts about its peer.

A leg has one or two RTP sockets, both on one port. The socket `connected` receives only packets
from the peer's address. It exists only if this address is known. The socket `pair.rtp` receives all
packets that `connected` does not receive, so the sender of these packets must be checked.
`media_path` handles the packets of both sockets. A leg with SRTP never sends unencrypted media.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.aio.ports import PortPair
from telephony.errors import SrtpError
from telephony.rtp.packet import Octets
from telephony.rtp.srtp import Protection
from telephony.sdp import KeyPair, RemoteMedia

Tap = Callable[[int, Octets, float, bool], None]
"""A function `tap(track, data, arrival_mono, withheld)` that stores a packet.

The function must not raise an error. It must copy `data`, which is overwritten afterwards. `track`
is 0 for a packet from the caller and 1 for a packet from the advisor. `arrival_mono` is in
monotonic seconds. `withheld` is true for a telephone event and for a payload type that was not
negotiated. If `withheld` is true, `data` contains only the fixed RTP header.
"""
LossListener = Callable[[int, int, float, float], None]
"""A function `on_lost(track, count, since_mono, until_mono)` for packets that the kernel dropped.

`count` packets from the peer arrived between the two times, which are in monotonic seconds. The
kernel dropped them because the socket's receive buffer was full.
"""
ReportListener = Callable[[int, Octets, float], None]
"""A function `on_report(track, data, arrival_mono)` that receives each RTCP datagram of the peer.

The arguments are those of `Tap`. With SRTP, `data` is decrypted.
"""
Watcher = Callable[[bytes, float], None]
"""A function `watch(data, arrival_mono)` that receives each telephone-event packet.

`arrival_mono` is in monotonic seconds.
"""

_BURST_S = 5.0
_FORGERIES = 25
"""`on_refused` is called when this number of packets with failed SRTP authentication has arrived.

Fewer such packets are normal, because they were sent just before an SRTP key changed.
"""
_NOWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


class SourceRule(StrEnum):
    """The rule that decides whether the sender of a packet is accepted as the leg's peer."""

    SDP_HOST = "sdp-host"
    """Accept packets from any port of the host that the peer's SDP names."""
    SYMMETRIC = "symmetric"
    """Accept packets only from the address and port to which we send media (RFC 4961)."""
    LATCH = "latch"
    """Accept packets only from the address from which the first valid packet arrived.

    The relay sends media to this address, and not to the address in the SDP, because a peer behind
    address translation can be reached only there. When new SDP gives another address, the leg
    forgets the accepted address. It then accepts the sender of the next valid packet.
    """


@dataclass(slots=True)
class Counters:
    """The counts of one leg's packets since the leg was opened."""

    received: int = 0
    """The number of valid RTP packets from the peer, telephone events included."""
    withheld: int = 0
    """The number of `received` packets that were not forwarded for one of two reasons.

    No leg was joined with this leg, or the joined leg's peer accepted no media, for example because
    of a hold.
    """
    unsent: int = 0
    """The number of packets that were not sent because of a socket error or an encryption error.

    Both of these are counted: a `received` packet that could not be sent to the joined leg's peer,
    and a packet of our own that could not be sent to this leg's peer.
    """
    events: int = 0
    """The number of `received` packets that are telephone events."""
    unknown: int = 0
    """The number of `received` packets whose payload type was not negotiated.

    These packets are forwarded, but their RTP payload is never stored.
    """
    unwanted: int = 0
    """The number of RTP packets that arrived while the peer was not allowed to send.

    The peer is not allowed to send until its SDP is known, and while the agreed SDP stops its
    media, for example during a hold. The packets are not forwarded and not stored.
    """
    refused: int = 0
    """The number of packets from a wrong sender or with failed SRTP authentication."""
    overflowed: int = 0
    """The number of packets that the kernel dropped because the receive buffer was full."""
    malformed: int = 0
    """The number of packets that are neither RTP nor RTCP, such as STUN, DTLS or short packets."""
    rtcp: int = 0
    first: float | None = None
    """The arrival time of the first `received` packet, in monotonic seconds.

    None if there is no such packet yet.
    """
    last: float | None = None
    """The arrival time of the latest `received` packet, in monotonic seconds.

    None if there is no such packet yet.
    """

    @property
    def forwarded(self) -> int:
        """The number of packets that were forwarded to the joined leg."""
        return self.received - self.withheld - self.unsent


@dataclass(slots=True, eq=False)
class MediaLeg:
    """The sockets and settings of a leg.

    After each change of a setting, the relay makes new readers (the functions that read the
    sockets).
    """

    leg_id: str
    pair: PortPair
    rule: SourceRule
    on_refused: Callable[[str, str, int], None] | None = None
    rebuild_readers: "Callable[[MediaLeg | None], None]" = lambda _: None
    """A function that makes new readers for a leg (the functions that read the leg's sockets).

    It must be called with the leg as argument after each change of the leg's settings. If the
    argument is None, the function does nothing.
    """
    connected: socket.socket | None = None
    """The RTP socket that is connected to the address `connected_to`.

    The relay changes `connected_to` whenever `address` changes.
    """
    connected_to: tuple[str, int] | None = None
    remote: RemoteMedia | None = None
    peer: "MediaLeg | None" = None
    payload_map: dict[int, int] = field(default_factory=dict)
    """For each payload type that this leg's peer sends, the type that the joined leg's peer gets.

    A payload type without an entry does not change.
    """
    events: set[int] = field(default_factory=set)
    """The payload types that mean telephone events on this leg, or meant them earlier."""
    kinds: bytes = b""
    """A look-up table: for each value of a packet's second byte, the packet's kind.

    The kinds are audio, event, RTCP and unknown. `kinds_of` makes the table. The table is empty
    until the peer's SDP is known.
    """
    tap: Tap | None = None
    track: int = 0
    on_lost: LossListener | None = None
    on_report: ReportListener | None = None
    watcher: Watcher | None = None
    latched: tuple[str, int] | None = None
    protection: Protection | None = None
    """The SRTP state that encrypts media now; None while media is not encrypted."""
    srtp_state: Protection | None = None
    """The SRTP state of the leg; None if the leg's media was never encrypted.

    Unlike `protection`, this field is not set to None when encryption is turned off, because the
    packet counters in the state must not be lost.
    """
    reopened: bool = False
    """True if the leg was opened by an earlier process, before a restart.

    In this case, the state of the leg's earlier SRTP encryption is unknown.
    """
    forged: int = 0
    """The number of packets with failed SRTP authentication since the latest change of the SDP."""
    counters: Counters = field(default_factory=Counters)
    waiting_since: float = 0.0
    """The time from which the relay waits for media on this leg, in monotonic seconds.

    It is the most recent time at which the leg was opened, got its peer's SDP or was joined with
    another leg. If no packet has arrived since then, the silence of the leg began at this time.
    """
    silence_reported: bool = False
    refused_at: float = float("-inf")

    @property
    def address(self) -> tuple[str, int] | None:
        """The address at which the peer sends and receives RTP; None while it is unknown."""
        if self.rule is SourceRule.LATCH:
            return self.latched
        remote = self.remote
        if remote is None or remote.host in _NOWHERE or not remote.rtp_port:
            return None
        return remote.host, remote.rtp_port

    @property
    def destination(self) -> tuple[str, int] | None:
        """The address to which RTP for the peer is sent; None while the peer accepts no media."""
        if self.remote is None or not self.remote.receive:
            return None
        if self.rule is SourceRule.LATCH and self.latched:
            return self.latched
        return self.remote.host, self.remote.rtp_port

    @property
    def control_destination(self) -> tuple[str, int] | None:
        """The address to which RTCP for the leg's peer is sent; None if the address is unknown.

        RTCP is sent even while the peer accepts no media, for example during a hold.
        """
        if self.remote is None or self.remote.host in _NOWHERE:
            return None
        if self.remote.rtcp_mux and self.rule is SourceRule.LATCH and self.latched:
            return self.latched
        return self.remote.rtcp_host or self.remote.host, self.remote.rtcp_port

    def secure(self, keys: KeyPair | None) -> None:
        """Encrypt the media with these SRTP keys from now on; None turns encryption off."""
        self.forged = 0
        if keys is not None and self.srtp_state is not None:
            self.srtp_state.rekey(keys)
        elif keys is not None:
            self.srtp_state = Protection(keys, rename=self.reopened)
        self.protection = self.srtp_state if keys is not None else None

    def send_own(self, data: bytes) -> None:
        """Send the peer an RTP packet that we made ourselves, unless the peer accepts no media."""
        target = self.destination
        if target is None:
            return
        try:
            self.pair.rtp.sendto(self.protection.protect(data) if self.protection else data, target)
        except (OSError, SrtpError):
            self.counters.unsent += 1

    def send_control(self, data: Octets) -> None:
        """Send RTCP to the peer.

        RTCP is sent from the RTP port if the peer uses one port for RTP and RTCP (RFC 5761). If
        not, RTCP is sent from the RTCP port.
        """
        target = self.control_destination
        if target is None or self.remote is None:
            return
        sock = self.pair.rtp if self.remote.rtcp_mux else self.pair.rtcp
        with contextlib.suppress(OSError, SrtpError):  # the next RTCP report replaces a lost one
            sock.sendto(
                self.protection.protect_control(bytes(data)) if self.protection else data, target
            )

    def is_possible_source(self, host: str, port: int) -> bool:
        """Return whether a packet from this address could be from the peer.

        This check is for packets whose SRTP authentication is not checked yet. Unlike
        `accept_source`, this method never stores the address as the peer's address.
        """
        if self.rule is SourceRule.LATCH:
            return self.latched is None or (host, port) == self.latched
        return self.accept_source(host, port)

    def accept_source(self, host: str, port: int) -> bool:
        """Return whether a valid packet from this address is from the peer.

        With the rule `LATCH`, the address in the first call of this method becomes the address of
        the peer. From then on, only this address is accepted.
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
        """Count a refused packet with failed SRTP authentication.

        After a change of the SDP, the first `_FORGERIES` - 1 of these packets are only counted. For
        each later packet, `refuse` is called, which can call `on_refused`.
        """
        self.forged += 1
        if self.forged < _FORGERIES:
            self.counters.refused += 1
        else:
            self.refuse(host, port, now)

    def refuse(self, host: str, port: int, now: float) -> None:
        """Count a refused packet. For the first packet of a series, call `on_refused`.

        A series ends when no packet has been refused for five seconds.
        """
        self.counters.refused += 1
        quiet = now - self.refused_at > _BURST_S
        self.refused_at = now
        if quiet and self.on_refused:
            self.on_refused(self.leg_id, host, port)
