"""One leg of the relay: its sockets, what it knows of its peer, and its way through a packet.

`reader_of` and `control_reader_of` turn a leg's settings into a function that handles one packet.
A setting that changes makes a new function, so that a packet pays for nothing that is not used.
The order for each is: classify, forward, store.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.aio.ports import PortPair
from telephony.rtp.packet import is_rtcp, is_rtp
from telephony.sdp import STATIC_PAYLOADS, RemoteMedia

Tap = Callable[[int, bytes, float, bool], None]
"""`tap(track, data, arrival_mono, is_event)`: what stores a packet. It must not raise."""
Watcher = Callable[[bytes, float], None]
"""`watch(data, arrival_mono)`: what is shown each telephone-event packet."""
Reader = Callable[[float], None]
"""Takes one datagram from its socket; the argument is its arrival, monotonic seconds."""

DATAGRAM_BYTES = 2_048
_BURST_S = 5.0
_AUDIO, _EVENT, _CONTROL, _UNKNOWN = range(4)


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
    """Of those: the socket would not take it."""
    events: int = 0
    """Of those: telephone events."""
    unknown: int = 0
    """Of those: payload types that nobody negotiated; passed on, never stored."""
    unwanted: int = 0
    """From a peer that must not send now (inactive, held): neither passed on nor stored."""
    refused: int = 0
    """From a sender that the source rule does not believe."""
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
    """Makes a leg's reader anew, when what it took for granted has changed."""
    remote: RemoteMedia | None = None
    peer: "MediaLeg | None" = None
    renumbered: dict[int, int] = field(default_factory=dict)
    """Payload types on the way to `peer`, by the one received."""
    tap: Tap | None = None
    track: int = 0
    watcher: Watcher | None = None
    drops_events: bool = False
    latched: tuple[str, int] | None = None
    counters: Counters = field(default_factory=Counters)
    waiting_since: float = 0.0
    """When media was last due to begin: the floor of any silence."""
    silence_reported: bool = False
    refused_at: float = float("-inf")

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
        if self.remote is None or self.remote.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared
            return None
        return self.remote.host, self.remote.rtcp_port

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
            self.renew(self.peer)
        return (host, port) == self.latched

    def refuse(self, host: str, port: int, now: float) -> None:
        """Count a packet from a stranger, and tell the owner once a burst."""
        self.counters.refused += 1
        quiet = now - self.refused_at > _BURST_S
        self.refused_at = now
        if quiet and self.on_refused:
            self.on_refused(self.leg_id, host, port)


def _kinds(remote: RemoteMedia) -> bytes:
    """What a packet is by its second byte, marker and payload type together."""
    kinds = bytearray([_UNKNOWN]) * 256
    for number, codec in {**STATIC_PAYLOADS, **remote.payloads}.items():
        kinds[number] = kinds[number | 0x80] = _EVENT if codec.is_event else _AUDIO
    kinds[192:224] = bytes([_CONTROL]) * 32
    return bytes(kinds)


def _second_bytes(renumbered: dict[int, int]) -> bytes:
    """The second byte to send by the one received."""
    table = bytearray(range(256))
    for old, new in renumbered.items():
        table[old], table[old | 0x80] = new, new | 0x80
    return bytes(table)


def reader_of(leg: MediaLeg) -> Reader:
    """The function for the leg's RTP socket."""
    remote = leg.remote
    if remote is None or not remote.send:
        return _discarding_reader(leg)
    reader = _relaying_reader(leg, remote)
    return _first_reader(leg, reader) if leg.counters.first is None else reader


def _first_reader(leg: MediaLeg, reader: Reader) -> Reader:
    """`reader` until the first packet, whose arrival is noted."""

    def read(now: float) -> None:
        reader(now)
        if leg.counters.last is not None:
            leg.counters.first = leg.counters.last
            leg.renew(leg)

    return read


def _relaying_reader(leg: MediaLeg, remote: RemoteMedia) -> Reader:
    other, counters, tap, track = leg.peer, leg.counters, leg.tap, leg.track
    receive = leg.pair.rtp.recvfrom
    target = other.destination if other else None
    sendto = (other or leg).pair.rtp.sendto
    kinds, second_bytes = _kinds(remote), _second_bytes(leg.renumbered)
    expected = remote.host if leg.rule is SourceRule.SDP_HOST else None

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:  # nothing there after all, or an ICMP error of an earlier packet
            return
        if (len(data) < 12 or data[0] != 0x80) and not is_rtp(data):
            if not _shared_port_control(leg, data, source):
                counters.malformed += 1
            return
        if source[0] != expected and not leg.believes(source[0], source[1]):
            leg.refuse(source[0], source[1], now)
            return
        second = data[1]
        kind = kinds[second]
        if kind and not _unusual(leg, kind, data, now):
            return
        counters.received += 1
        counters.last = now
        if target is None:
            counters.withheld += 1
        else:
            new = second_bytes[second]
            try:
                sendto(data if new == second else _with_second(data, new), target)
            except OSError:
                counters.unsent += 1
        if tap is not None and not kind:
            tap(track, data, now, False)

    return read


def _with_second(data: bytes, second: int) -> bytes:
    return b"%c%c%b" % (data[0], second, data[2:])


def _unusual(leg: MediaLeg, kind: int, data: bytes, now: float) -> bool:
    """Handle what is not plain audio; False when that was all there is to do."""
    counters = leg.counters
    if kind == _CONTROL:
        forward_control(leg, data)
        return False
    if kind == _UNKNOWN:
        counters.unknown += 1
        return True
    counters.events += 1
    if leg.watcher:
        leg.watcher(data, now)
    if leg.drops_events:
        counters.received += 1
        counters.withheld += 1
        counters.last = now
    return not leg.drops_events


def _discarding_reader(leg: MediaLeg) -> Reader:
    """For a leg whose peer must not send, or is not known yet."""
    receive, counters = leg.pair.rtp.recvfrom, leg.counters

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:
            return
        if _shared_port_control(leg, data, source):
            return
        if not is_rtp(data):
            counters.malformed += 1
        elif leg.remote is not None and not leg.believes(source[0], source[1]):
            leg.refuse(source[0], source[1], now)
        else:
            counters.unwanted += 1

    return read


def _shared_port_control(leg: MediaLeg, data: bytes, source: tuple[str, int]) -> bool:
    """Pass on RTCP that came to the RTP port (RFC 5761), where an RTP reader would not."""
    if not is_rtcp(data) or leg.remote is None or source[0] != _control_host(leg):
        return False
    forward_control(leg, data)
    return True


def _control_host(leg: MediaLeg) -> str | None:
    if leg.latched and leg.rule is SourceRule.LATCH:
        return leg.latched[0]
    return leg.remote.host if leg.remote else None


def forward_control(leg: MediaLeg, data: bytes) -> None:
    """Send RTCP from `leg`'s peer on to the joined leg's."""
    leg.counters.rtcp += 1
    target = leg.peer.control_destination if leg.peer else None
    if leg.peer is None or target is None:
        return
    with contextlib.suppress(OSError):  # reports are repeated: a lost one costs nothing
        leg.peer.pair.rtcp.sendto(data, target)


def control_reader_of(leg: MediaLeg) -> Reader:
    """The function for the leg's RTCP socket."""
    receive: Callable[[int], tuple[bytes, tuple[str, int]]] = leg.pair.rtcp.recvfrom

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:
            return
        if not is_rtcp(data):
            leg.counters.malformed += 1
        elif source[0] == _control_host(leg):
            forward_control(leg, data)
        elif leg.remote is not None:
            leg.refuse(source[0], source[1], now)

    return read
