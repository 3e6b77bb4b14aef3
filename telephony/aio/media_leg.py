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

from telephony.aio.media_source import (
    Fit,
    HostPort,
    Kept,
    PeerSource,
    SourceRule,
    VoiceStream,
)
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
Watcher = Callable[[bytes, float, bool], None]
"""A function `watch(data, arrival_mono, proven)` that receives each telephone-event packet.

`arrival_mono` is in monotonic seconds. `proven` is true if the packet is certainly from the party
whose voice the leg has accepted: it is authentic SRTP, or it has the sender and the SSRC of this
voice and no other sender competes (see `VoiceStream`).
"""

_BURST_S = 5.0
_FORGERIES = 25
"""`on_refused` is called when this number of packets with failed SRTP authentication has arrived.

Fewer such packets are normal, because they were sent just before an SRTP key changed.
"""
_NOWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


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
    source: PeerSource
    """The decision which sender is the peer."""
    on_refused: Callable[[str, str, int], None] | None = None
    on_contested: Callable[[str, str, int], None] | None = None
    rebuild_readers: "Callable[[MediaLeg | None], None]" = lambda _: None
    """A function that makes new readers for a leg (the functions that read the leg's sockets).

    It must be called with the leg as argument after each change of the leg's settings. If the
    argument is None, the function does nothing.
    """
    connected: socket.socket | None = None
    """The RTP socket that is connected to the address `connected_to`.

    The relay changes `connected_to` whenever `address` changes.
    """
    connected_to: HostPort | None = None
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
    voice: VoiceStream = field(default_factory=VoiceStream)
    """The stream in which the peer talks. It is followed only while the leg has a watcher."""
    protection: Protection | None = None
    """The SRTP state that encrypts media now; None while media is not encrypted."""
    srtp_state: Protection | None = None
    """The SRTP state of the leg; None if the leg's media was never encrypted.

    Unlike `protection`, this field is not set to None when encryption is turned off, because the
    packet counters in the state must not be lost.
    """
    unconfirmed: bool = False
    """True while nothing is sent to the peer, because it has not proved its address.

    A valid packet from the peer proves it.
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
    contested_at: float = float("-inf")

    @property
    def address(self) -> HostPort | None:
        """The address from which the peer's RTP should arrive; None while it is unknown."""
        return self.source.expected

    @property
    def destination(self) -> HostPort | None:
        """The address to which RTP for the peer is sent; None while the peer accepts no media.

        It is the address in the SDP, unless the relay has learned that the peer is at another host:
        then the host in the SDP is behind address translation. With the rule LATCH, it is always
        the accepted sender.
        """
        if self.remote is None or not self.remote.receive or self._is_unproved:
            return None
        return self._reachable_at

    @property
    def _is_unproved(self) -> bool:
        return self.unconfirmed and self.counters.first is None

    @property
    def _reachable_at(self) -> HostPort | None:
        learned, named = self.source.learned, self.source.sdp
        if learned is None or named is None or self.source.rule is SourceRule.LATCH:
            return learned or named
        return named if named[0] == learned[0] else learned

    @property
    def control_destination(self) -> HostPort | None:
        """The address to which RTCP for the leg's peer is sent; None if the address is unknown.

        RTCP is sent even while the peer accepts no media, for example during a hold.
        """
        if self.remote is None or self.remote.host in _NOWHERE or self._is_unproved:
            return None
        if self.remote.rtcp_mux:
            return self._reachable_at
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

    def accepts(self, sender: HostPort) -> bool:
        """Return whether packets from this sender are accepted without a proof."""
        return self.source.accepts(sender[:2])

    def could_accept(self, sender: HostPort, now: float) -> bool:
        """Return whether a packet from this sender could be from the peer; change nothing."""
        return self.source.could_accept(sender[:2], self.counters.last, now)

    def accept_authentic(self, sender: HostPort) -> None:
        """Accept the sender of an authentic SRTP packet as the peer."""
        if self.source.accept_authentic(sender[:2]):
            self._take_source()

    def prove(self, sender: HostPort, packet: Octets, now: float) -> list[Kept]:
        """Return the packets to handle now that an unproved sender has sent one more packet.

        The packet is refused, or waits, or proves its sender (`PeerSource.prove`).
        """
        source = self.source
        accepted, contested = source.accepted, source.contested
        kept = source.prove(sender[:2], packet, self.counters.last, now)
        self.counters.refused += source.dropped
        source.dropped = 0
        if source.accepted != accepted:
            self._take_source()
        if (source.contested and not contested) or (accepted not in {None, source.accepted}):
            self._report_contest(sender, now)
        if kept is None:
            self.refuse(sender[0], sender[1], now)
        return kept or []

    def _take_source(self) -> None:
        """Read from and send to the sender that was accepted now."""
        self.rebuild_readers(self)
        self.rebuild_readers(self.peer)

    def _report_contest(self, sender: HostPort, now: float) -> None:
        quiet = now - self.contested_at > _BURST_S
        self.contested_at = now
        if quiet and self.on_contested:
            self.on_contested(self.leg_id, sender[0], sender[1])

    def hear_voice(self, sender: HostPort, ssrc: bytes, now: float) -> None:
        """Take a voice packet that is not in the stream of the peer's voice.

        If its stream becomes the peer's voice, the keys that were pressed in it count now.
        """
        named_by_sdp = self.source.fit(sender[:2]) is Fit.SDP
        number = self.counters.received
        if not self.voice.hear_other(sender[:2], ssrc, number, named_by_sdp=named_by_sdp):
            return
        for packet, arrived in self.voice.take_keys(now):
            if self.watcher and self.is_proven(sender, ssrc):
                self.watcher(bytes(packet), arrived, True)

    def hear_key(self, sender: HostPort, packet: Octets, now: float) -> None:
        """Give the watcher a telephone event, and keep it if it is not proven yet."""
        proven = self.is_proven(sender, bytes(packet[8:12]))
        if not proven:
            self.voice.keep_key(sender[:2], packet, self.counters.received + 1, now)
        if self.watcher:
            self.watcher(bytes(packet), now, proven)

    def is_proven(self, sender: HostPort, ssrc: bytes) -> bool:
        """Return whether an accepted packet is certainly from the party whose voice is heard."""
        if self.protection is not None:
            return True
        return self.voice.contains(sender[:2], ssrc) and not self.source.contested

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
