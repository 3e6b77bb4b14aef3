"""One leg of the relay: its sockets, what it knows of its peer, and its way through a packet.

`reader_of` and `control_reader_of` turn a leg's settings into a function that handles one packet.
A setting that changes makes a new function, so that a packet pays for nothing that is not used.
The order for each is: classify, forward, store.

A leg has up to two sockets for RTP on one port: `line`, connected to the peer, and `pair.rtp`, to
which comes what anyone else sends; so only the second has to ask who the sender is.
"""

import contextlib
import socket
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
_Handler = Callable[[bytes, float], None]

DATAGRAM_BYTES = 2_048
_PLAIN, _PLAIN_BYTES = 0x80, 12
"""First byte and least length of the plainest RTP: nothing in it needs a closer look."""
_BURST_S = 5.0
_NOWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared
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
    """Makes a leg's readers anew, when what they took for granted has changed."""
    line: socket.socket | None = None
    """Connected to `line_to`; the relay keeps it so that this is `address`."""
    line_to: tuple[str, int] | None = None
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
            self.renew(self)
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
    """The function for `leg.pair.rtp`, to which anybody may send."""
    remote = leg.remote
    if remote is None or not remote.send:
        return _discarding_reader(leg, leg.pair.rtp)
    reader = _asking_reader(leg, _handler(leg, remote))
    return _first_reader(leg, reader) if leg.counters.first is None else reader


def line_reader_of(leg: MediaLeg, line: socket.socket) -> Reader:
    """The function for `leg.line`, whose sender is known."""
    remote = leg.remote
    if remote is None or not remote.send:
        return _discarding_reader(leg, line)
    reader = _trusting_reader(leg, line, _handler(leg, remote))
    return _first_reader(leg, reader) if leg.counters.first is None else reader


def _first_reader(leg: MediaLeg, reader: Reader) -> Reader:
    """`reader` until the first packet, whose arrival is noted."""

    def read(now: float) -> None:
        reader(now)
        if leg.counters.last is not None:
            leg.counters.first = leg.counters.last
            leg.renew(leg)

    return read


def _asking_reader(leg: MediaLeg, handle: _Handler) -> Reader:
    receive, counters = leg.pair.rtp.recvfrom, leg.counters

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:  # nothing there after all, or an ICMP error of an earlier packet
            return
        if not is_rtp(data):
            if not _shared_port_control(leg, data, source[0]):
                counters.malformed += 1
        elif leg.believes(source[0], source[1]):
            handle(data, now)
        else:
            leg.refuse(source[0], source[1], now)

    return read


def _trusting_reader(leg: MediaLeg, line: socket.socket, handle: _Handler) -> Reader:
    receive, counters = line.recv, leg.counters

    def read(now: float) -> None:
        try:
            data = receive(DATAGRAM_BYTES)
        except OSError:
            return
        if (len(data) >= _PLAIN_BYTES and data[0] == _PLAIN) or is_rtp(data):
            handle(data, now)
        elif not _shared_port_control(leg, data, _control_host(leg)):
            counters.malformed += 1

    return read


def _handler(leg: MediaLeg, remote: RemoteMedia) -> _Handler:
    """What is done with valid RTP from the leg's peer."""
    other, counters, tap, track = leg.peer, leg.counters, leg.tap, leg.track
    send = _sender_to(other) if other else None
    kinds, second_bytes = _kinds(remote), _second_bytes(leg.renumbered)

    def handle(data: bytes, now: float) -> None:
        second = data[1]
        kind = kinds[second]
        if kind and not _unusual(leg, kind, data, now):
            return
        counters.received += 1
        counters.last = now
        if send is None:
            counters.withheld += 1
        else:
            new = second_bytes[second]
            out = data if new == second else _with_second(data, new)
            try:
                send(out)
            except OSError:
                if other is None or not _sent_without_line(other, out):
                    counters.unsent += 1
        if tap is not None and not kind:
            tap(track, data, now, False)

    return handle


def _sender_to(leg: MediaLeg) -> Callable[[bytes], object] | None:
    """How RTP gets to the leg's peer; None while it wants none."""
    target = leg.destination
    if target is None:
        return None
    if leg.line is not None and leg.line_to == target:
        return leg.line.send
    sendto = leg.pair.rtp.sendto
    return lambda data: sendto(data, target)


def _sent_without_line(leg: MediaLeg, data: bytes) -> bool:
    """Send what the line would not: it told an ICMP error of an earlier packet instead."""
    target = leg.destination
    if leg.line is None or target is None:
        return False
    try:
        leg.pair.rtp.sendto(data, target)
    except OSError:
        return False
    return True


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


def _discarding_reader(leg: MediaLeg, made: socket.socket) -> Reader:
    """For a leg whose peer must not send, or is not known yet."""
    receive, counters = made.recvfrom, leg.counters

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:
            return
        if _shared_port_control(leg, data, source[0]):
            return
        if not is_rtp(data):
            counters.malformed += 1
        elif leg.remote is not None and not leg.believes(source[0], source[1]):
            leg.refuse(source[0], source[1], now)
        else:
            counters.unwanted += 1

    return read


def _shared_port_control(leg: MediaLeg, data: bytes, host: str | None) -> bool:
    """Pass on RTCP that came to the RTP port (RFC 5761), where an RTP reader would not."""
    if not is_rtcp(data) or leg.remote is None or host != _control_host(leg):
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
