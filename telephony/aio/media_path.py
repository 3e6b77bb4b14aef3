"""A packet's way through a leg of the relay: classify, forward, store.

`reader_of`, `line_reader_of` and `control_reader_of` turn a leg's settings into a function that
handles one packet. A setting that changes makes a new one, so that a packet pays for nothing that
is not used.

With hundreds of calls a packet finds nothing of its leg in the processor's caches, and fetching it
costs more than working with it. So a `_Path` holds all that a usual packet needs, in few objects.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from telephony.aio.media_leg import Counters, MediaLeg, SourceRule, Tap
from telephony.aio.media_way import Way, way_between
from telephony.errors import SrtpError
from telephony.rtp.packet import HEADER_BYTES, is_rtcp, is_rtp
from telephony.rtp.srtp import Protection
from telephony.sdp import STATIC_PAYLOADS, RemoteMedia

Reader = Callable[[float], None]
"""Takes one datagram from its socket; the argument is its arrival, monotonic seconds."""

DATAGRAM_BYTES = 8_192
"""L16 in stereo has 3852 in 20 ms at 48 kHz, more than a frame of Ethernet; Opus at most 7662."""
_PLAIN, _PLAIN_BYTES = 0x80, 12
"""First byte and least length of the plainest RTP: nothing in it needs a closer look."""
_NOBODY = "", 0
_AUDIO, _EVENT, _CONTROL, _UNKNOWN, _DOUBTFUL = range(5)
_EVENT_BYTES = HEADER_BYTES + 4


def reader_of(leg: MediaLeg) -> Reader:
    """The function for `leg.pair.rtp`, to which anybody may send."""
    path = _path_of(leg, leg.pair.rtp)
    if path is None:
        return _discarding_reader(leg, leg.pair.rtp)
    return path.ask if leg.counters.first is not None else _first_reader(leg, path.ask)


def line_reader_of(leg: MediaLeg, line: socket.socket) -> Reader:
    """The function for `leg.line`, whose sender is known."""
    path = _path_of(leg, line)
    if path is None:
        return _discarding_reader(leg, line)
    return path.trust if leg.counters.first is not None else _first_reader(leg, path.trust)


def _first_reader(leg: MediaLeg, reader: Reader) -> Reader:
    """`reader` until the first packet, whose arrival is noted."""

    def read(now: float) -> None:
        reader(now)
        if leg.counters.last is not None:
            leg.counters.first = leg.counters.last
            leg.renew(leg)

    return read


@dataclass(slots=True, eq=False)
class _Path:
    """What is done with RTP that comes to `made`, from the leg's peer to the joined leg's."""

    leg: MediaLeg
    made: socket.socket
    way: Way | None
    """None while the joined peer wants nothing, or there is none."""
    kinds: bytes
    second_bytes: bytes
    counters: Counters
    tap: Tap | None
    track: int

    def trust(self, now: float) -> None:
        """Take a packet whose sender the kernel has compared."""
        try:
            data = self.made.recv(DATAGRAM_BYTES)
        except OSError:  # nothing there after all, or an ICMP error of an earlier packet
            return
        if (len(data) >= _PLAIN_BYTES and data[0] == _PLAIN) or is_rtp(data):
            self._handle(data, now)
        elif not _shared_port_control(self.leg, data, self.leg.line_to, now):
            self.counters.malformed += 1

    def ask(self, now: float) -> None:
        """Take a packet and find out whether it is the peer's."""
        try:
            data, source = self.made.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        if not is_rtp(data):
            if not _shared_port_control(self.leg, data, source, now):
                self.counters.malformed += 1
        elif self.leg.believes(source[0], source[1]):
            self._handle(data, now)
        else:
            self.leg.refuse(source[0], source[1], now)

    def _handle(self, data: bytes, now: float) -> None:
        second = data[1]
        kind = self.kinds[second]
        if kind == _DOUBTFUL:  # a key that was on its way when its number got another meaning
            kind = _EVENT if len(data) == _EVENT_BYTES else _AUDIO
        if kind and not _unusual(self.leg, kind, data, now):
            return
        counters = self.counters
        counters.received += 1
        counters.last = now
        if self.way is None:
            counters.withheld += 1
        else:
            new = self.second_bytes[second]
            out = data if new == second else _with_second(data, new)
            try:
                self.way.send(out)
            except OSError:
                if not _sent_without_line(self.leg, out):
                    counters.unsent += 1
        if self.tap is not None and not kind:
            self.tap(self.track, data, now, False)


@dataclass(slots=True, eq=False)
class _SecurePath(_Path):
    """The same for SRTP: what is not authentic is neither believed, nor passed on, nor stored."""

    protection: Protection

    def trust(self, now: float) -> None:
        """Take a packet whose sender the kernel has compared."""
        try:
            data = self.made.recv(DATAGRAM_BYTES)
        except OSError:
            return
        if len(data) > HEADER_BYTES and data[0] & 0xC0 == _PLAIN and not is_rtcp(data):
            try:
                plain = self.protection.unprotect(data)
            except SrtpError:
                self.leg.refuse_forged(*(self.leg.line_to or _NOBODY), now)
                return
            if plain[0] == _PLAIN or is_rtp(plain):
                self._handle(plain, now)
                return
            self.leg.counters.malformed += 1
        else:
            _opened(self.leg, self.protection, data, self.leg.line_to or _NOBODY, now)

    def ask(self, now: float) -> None:
        """Take a packet; a sender that cannot be the peer costs no cryptography."""
        try:
            data, source = self.made.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        if not is_rtcp(data) and not self.leg.may_be(source[0], source[1]):
            self.leg.refuse(source[0], source[1], now)
            return
        plain = _opened(self.leg, self.protection, data, source, now)
        if plain is not None:
            self._handle(plain, now)


def _opened(
    leg: MediaLeg, protection: Protection, data: bytes, source: tuple[str, int], now: float
) -> bytes | None:
    """The RTP in a datagram that could be the peer's; whatever else it is, is dealt with here."""
    if is_rtcp(data):
        if not _shared_port_control(leg, data, source, now):
            leg.refuse(source[0], source[1], now)
        return None
    if len(data) < HEADER_BYTES or data[0] & 0xC0 != _PLAIN:
        leg.counters.malformed += 1
        return None
    try:
        plain = protection.unprotect(data)
    except SrtpError:
        leg.refuse_forged(source[0], source[1], now)
        return None
    leg.believes(source[0], source[1])  # only now may it be latched to
    if is_rtp(plain):
        return plain
    leg.counters.malformed += 1
    return None


def _path_of(leg: MediaLeg, made: socket.socket) -> _Path | None:
    """The way of valid RTP from the leg's peer; None if it must not send, or is not known."""
    remote, other = leg.remote, leg.peer
    if remote is None or not remote.send:
        return None
    settings = (
        leg,
        made,
        way_between(leg, other) if other else None,
        leg.kinds,
        _second_bytes(tuple(leg.renumbered.items())),
        leg.counters,
        leg.tap,
        leg.track,
    )
    return _SecurePath(*settings, leg.protection) if leg.protection else _Path(*settings)


def _sent_without_line(leg: MediaLeg, data: bytes) -> bool:
    """Send on what the line would not: it told an ICMP error of an earlier packet instead."""
    peer = leg.peer
    target = peer.destination if peer else None
    if peer is None or peer.line is None or target is None or peer.protection:
        return False
    try:
        peer.pair.rtp.sendto(leg.renumbering.sent(data) if leg.renumbering else data, target)
    except OSError:
        return False
    return True


def kinds_of(remote: RemoteMedia, events: set[int]) -> bytes:
    """What a packet of this peer is by its second byte: audio, an event, RTCP or unknown.

    `events` are the payload types that were ever events; those that are now are added.
    """
    payloads = {**STATIC_PAYLOADS, **remote.payloads}
    events |= {number for number, codec in payloads.items() if codec.is_event}
    return _kinds(
        tuple(
            (number, _EVENT if codec.is_event else _DOUBTFUL if number in events else _AUDIO)
            for number, codec in payloads.items()
        )
    )


@lru_cache(maxsize=256)
def _kinds(payloads: Iterable[tuple[int, int]]) -> bytes:
    """What a packet is by its second byte, marker and payload type together.

    Legs with the same payloads share a table, and so do those in `_second_bytes`.
    """
    kinds = bytearray([_UNKNOWN]) * 256
    for number, kind in payloads:
        kinds[number] = kinds[number | 0x80] = kind
    kinds[192:224] = bytes([_CONTROL]) * 32
    return bytes(kinds)


@lru_cache(maxsize=256)
def _second_bytes(renumbered: Iterable[tuple[int, int]]) -> bytes:
    """The second byte to send by the one received."""
    table = bytearray(range(256))
    for old, new in renumbered:
        table[old], table[old | 0x80] = new, new | 0x80
    return bytes(table)


def _with_second(data: bytes, second: int) -> bytes:
    return b"%c%c%b" % (data[0], second, data[2:])


def _unusual(leg: MediaLeg, kind: int, data: bytes, now: float) -> bool:
    """Handle what is not plain audio; False when that was all there is to do."""
    counters = leg.counters
    if kind == _CONTROL:
        forward_control(leg, data, leg.line_to or _NOBODY, now)
        return False
    if kind == _UNKNOWN:
        counters.unknown += 1
        _tap_header(leg, data, now)
        return True
    counters.events += 1
    if leg.watcher:
        leg.watcher(data, now)
    _tap_header(leg, data, now)
    if leg.drops_events:
        if leg.renumbering is not None:
            leg.renumbering.take_out(data)
        counters.received += 1
        counters.withheld += 1
        counters.last = now
    return not leg.drops_events


def _tap_header(leg: MediaLeg, data: bytes, now: float) -> None:
    """Let the tap know that the packet was not lost, and nothing of what is in it."""
    if leg.tap is not None:
        leg.tap(leg.track, b"\x80" + data[1:HEADER_BYTES], now, True)


def _discarding_reader(leg: MediaLeg, made: socket.socket) -> Reader:
    """For a leg whose peer must not send, or is not known yet."""
    receive, counters = made.recvfrom, leg.counters

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:
            return
        if leg.protection is not None:
            if not leg.may_be(source[0], source[1]):
                leg.refuse(source[0], source[1], now)
            elif _opened(leg, leg.protection, data, source, now) is not None:
                counters.unwanted += 1  # opened all the same: its numbers go on being counted
        elif _shared_port_control(leg, data, source, now):
            pass
        elif not is_rtp(data):
            counters.malformed += 1
        elif leg.remote is not None and not leg.believes(source[0], source[1]):
            leg.refuse(source[0], source[1], now)
        else:
            counters.unwanted += 1

    return read


def _shared_port_control(
    leg: MediaLeg, data: bytes, source: tuple[str, int] | None, now: float
) -> bool:
    """Pass on RTCP that came to the RTP port (RFC 5761), where an RTP reader would not."""
    if not is_rtcp(data) or source is None or leg.remote is None:
        return False
    if source[0] != _control_host(leg):
        return False
    forward_control(leg, data, source, now)
    return True


def _control_host(leg: MediaLeg) -> str | None:
    if leg.latched and leg.rule is SourceRule.LATCH:
        return leg.latched[0]
    return leg.remote.host if leg.remote else None


def forward_control(leg: MediaLeg, data: bytes, source: tuple[str, int], now: float) -> None:
    """Send RTCP from `leg`'s peer on to the joined leg's."""
    if leg.protection is not None:
        try:
            data = leg.protection.unprotect_control(data)
        except SrtpError:
            leg.refuse_forged(source[0], source[1], now)
            return
    leg.counters.rtcp += 1
    peer = leg.peer
    if leg.renumbering is not None:
        data = leg.renumbering.report(data)
    if peer is not None and peer.renumbering is not None:
        data = peer.renumbering.heard_of(data)
    if peer is not None:
        peer.send_control(data)


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
        elif source[0] == _control_host(leg) or (leg.remote and source[0] == leg.remote.rtcp_host):
            forward_control(leg, data, source, now)
        elif leg.remote is not None:
            leg.refuse(source[0], source[1], now)

    return read
