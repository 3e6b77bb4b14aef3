"""One leg of the relay: its sockets, its settings, and the known facts about its peer.

A leg has one or two RTP sockets on one port. `connected` exists only if the peer's address is
known, and receives only packets from it. `pair.rtp` receives all other packets, so their sender
must be checked. `media_path` handles the packets of both sockets. A leg with SRTP never sends
unencrypted media.

A `PacketSender` does only the steps that the leg's settings need, for example SRTP. Without SRTP, a
connected socket is itself the sender.
"""

import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

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

It must not raise, and must copy `data`, which is overwritten. `track` is 0 for the caller and 1 for
the advisor; `arrival_mono` is in monotonic seconds. If `withheld` is true (a telephone event, or a
payload type that was not negotiated), `data` is only the fixed RTP header.
"""
LossListener = Callable[[int, int, float, float], None]
"""A function `on_lost(track, count, since_mono, until_mono)` for packets that the kernel dropped.

The packets arrived between the two times, in monotonic seconds.
"""
ReportListener = Callable[[int, Octets, float], None]
"""A function `on_report(track, data, arrival_mono)` that receives the peer's RTCP, decrypted."""
Watcher = Callable[[bytes, float, bool], None]
"""A function `watch(data, arrival_mono, proven)` that receives the peer's telephone events.

`arrival_mono` is in monotonic seconds. `proven` is true if the packet is certainly from the party
whose voice is heard (see `VoiceStream`).
"""

_BURST_S = 5.0
_FORGERIES = 25
"""The number of packets that must fail SRTP authentication until `on_refused` is called.

A few are normal: they were sent just before an SRTP key changed.
"""
_NOWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


@dataclass(slots=True)
class Counters:
    """The counts of one leg's packets since the leg was opened."""

    received: int = 0
    """Valid RTP packets from the peer, telephone events included."""
    withheld: int = 0
    """`received` packets that were not forwarded, because no joined leg had a `destination`."""
    unsent: int = 0
    """Packets that were not sent because of a socket or encryption error."""
    events: int = 0
    """`received` packets that are telephone events."""
    unknown: int = 0
    """`received` packets whose payload type was not negotiated. Their payload is not stored."""
    unwanted: int = 0
    """RTP packets before the peer's SDP or during a hold. They are not forwarded or stored."""
    refused: int = 0
    """Packets from a wrong sender or with failed SRTP authentication."""
    malformed: int = 0
    """Packets that cannot be RTP or RTCP of the peer: STUN, DTLS, RTCP from another host …"""
    rtcp: int = 0
    first: float | None = None
    """The approximate arrival of the first `received` packet, monotonic; None before it."""
    last: float | None = None
    """The arrival of the latest `received` packet in monotonic seconds; None before it."""


@dataclass(frozen=True, slots=True)
class MediaListener:
    """The functions that receive the media of a leg's peer."""

    track: int
    tap: Tap | None
    on_lost: LossListener | None = None
    on_report: ReportListener | None = None


@dataclass(slots=True, eq=False)
class MediaLeg:
    """The sockets and settings of a leg.

    The functions that read its sockets are made for these settings. After a change of a setting,
    the owner must have them made again.
    """

    leg_id: str
    pair: PortPair
    source: PeerSource
    on_refused: Callable[[str, str, int], None] | None = None
    on_contested: Callable[[str, str, int], None] | None = None
    rebuild_readers: "Callable[[MediaLeg | None], None]" = lambda _: None
    """Makes new readers for a leg after a change of its settings; for None, it does nothing."""
    connected: socket.socket | None = None
    """The RTP socket that receives only packets from `connected_to`, or None."""
    connected_to: HostPort | None = None
    remote: RemoteMedia | None = None
    peer: "MediaLeg | None" = None
    payload_map: dict[int, int] = field(default_factory=dict)
    """Maps payload types of this leg's peer to those of the joined leg's peer."""
    events: set[int] = field(default_factory=set)
    """The payload types that mean telephone events on this leg, or meant them earlier."""
    kinds: bytes = b""
    """The kind of a packet (`kinds_of`) by its second byte; empty until the peer's SDP is known."""
    listener: MediaListener = MediaListener(0, None)
    watcher: Watcher | None = None
    voice: VoiceStream = field(default_factory=VoiceStream)
    """The stream in which the peer talks. It is followed only while the leg has a watcher."""
    protection: Protection | None = None
    """The SRTP state that encrypts media now; None while media is not encrypted."""
    srtp_state: Protection | None = None
    """The newest SRTP state, which keeps its packet counters while encryption is off."""
    unconfirmed: bool = False
    """True if nothing is sent to the peer before a valid packet proves its address."""
    reopened: bool = False
    """True if an earlier process opened the leg: the state of its SRTP encryption is unknown."""
    forged: int = 0
    """Packets with failed SRTP authentication since the latest SDP of the peer."""
    counters: Counters = field(default_factory=Counters)
    waiting_since: float = 0.0
    """The time, in monotonic seconds, at which silence began if no packet has arrived since.

    The leg was opened, got its peer's SDP or was joined at this time, whichever came last.
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
        """The address to which RTP for the peer is sent; None while the peer may get no media.

        It is the address in the SDP, unless the accepted sender is at another host (address
        translation). With LATCH, it is the accepted sender as soon as there is one.
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
        """The address for RTCP, also during a hold; None if it is unknown or not confirmed."""
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
        """Send an RTP packet that we made ourselves, unless the peer may get no media."""
        target = self.destination
        if target is None:
            return
        try:
            self.pair.rtp.sendto(self.protection.protect(data) if self.protection else data, target)
        except (OSError, SrtpError):
            self.counters.unsent += 1

    def send_control(self, data: Octets) -> None:
        """Send RTCP to the peer; do nothing without a `control_destination`."""
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
        """Judge a packet that `accepts` has refused; return the packets to handle now."""
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
        self.rebuild_readers(self)
        self.rebuild_readers(self.peer)

    def _report_contest(self, sender: HostPort, now: float) -> None:
        quiet = now - self.contested_at > _BURST_S
        self.contested_at = now
        if quiet and self.on_contested:
            self.on_contested(self.leg_id, sender[0], sender[1])

    def hear_voice(self, sender: HostPort, ssrc: bytes, now: float) -> None:
        """Take a voice packet that is not in the stream of the peer's voice.

        If the packet's stream becomes the peer's voice, give the watcher the keys that were pressed
        in this stream.
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
        """Count a packet with failed SRTP authentication; from the `_FORGERIES`th on, refuse it."""
        self.forged += 1
        if self.forged < _FORGERIES:
            self.counters.refused += 1
        else:
            self.refuse(host, port, now)

    def refuse(self, host: str, port: int, now: float) -> None:
        """Count a refused packet; call `on_refused` if none was refused in the last 5 seconds."""
        self.counters.refused += 1
        quiet = now - self.refused_at > _BURST_S
        self.refused_at = now
        if quiet and self.on_refused:
            self.on_refused(self.leg_id, host, port)


class PacketSender(Protocol):
    """Any object with a `send` method like that of a socket."""

    def send(self, data: Octets, /) -> int:
        """Send one RTP packet; raise OSError if it was not sent."""


@dataclass(frozen=True, slots=True)
class _UnconnectedSender:
    sock: socket.socket
    target: tuple[str, int]

    def send(self, data: Octets, /) -> int:
        return self.sock.sendto(data, self.target)


@dataclass(frozen=True, slots=True)
class _SrtpSender:
    """Sends SRTP by `sender`. If that fails, sends the same packet by `otherwise`."""

    protection: Protection
    sender: PacketSender
    otherwise: _UnconnectedSender

    def send(self, data: Octets, /) -> int:
        """Encrypt and send a packet; raise OSError (EPERM if it cannot be encrypted)."""
        try:
            out = self.protection.protect(bytes(data))
        except SrtpError as error:
            raise OSError(errno.EPERM, str(error)) from None
        try:
            return self.sender.send(out)
        except OSError:  # perhaps an ICMP error for an earlier packet, so try to send again
            return self.otherwise.send(out)


def sender_to(leg: MediaLeg) -> PacketSender | None:
    """Return the sender of RTP to the leg's peer; None without a `destination`."""
    target = leg.destination
    if target is None:
        return None
    unconnected = _UnconnectedSender(leg.pair.rtp, target)
    usable = leg.connected if leg.connected_to == target else None
    sender = unconnected if usable is None else usable
    return _SrtpSender(leg.protection, sender, unconnected) if leg.protection else sender
