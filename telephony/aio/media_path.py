"""The path of a packet through a leg of the relay: classify, forward, store.

`reader_of`, `connected_reader_of` and `control_reader_of` turn a leg's settings into a function
that handles one packet. A changed setting makes a new function, so that a packet pays for no unused
feature.

With hundreds of calls, a leg's data is never in the processor's caches when a packet arrives, and
fetching it costs more than the work itself. A `_Path` therefore holds all that an ordinary packet
needs, in few objects.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from telephony.aio.media_leg import Counters, MediaLeg, SourceRule, Tap
from telephony.aio.media_poller import Reader
from telephony.aio.media_sender import PacketSender, sender_to
from telephony.errors import SrtpError
from telephony.rtp.packet import HEADER_BYTES, is_rtcp, is_rtp
from telephony.rtp.srtp import Protection
from telephony.sdp import STATIC_PAYLOADS, RemoteMedia

DATAGRAM_BYTES = 8_192
"""The largest datagram that is read.

20 ms of stereo L16 at 48 kHz have 3852 bytes, of Opus at most 7662: more than an Ethernet frame.
"""
_PLAIN, _PLAIN_BYTES = 0x80, 12
"""First byte and least length of the plainest RTP packet, which needs no closer check."""
_NO_ADDRESS = "", 0
_AUDIO, _EVENT, _CONTROL, _UNKNOWN, _AUDIO_OR_EVENT = range(5)
_EVENT_BYTES = HEADER_BYTES + 4


def reader_of(leg: MediaLeg) -> Reader:
    """Return the reader for `leg.pair.rtp`, to which any host may send."""
    path = _path_of(leg, leg.pair.rtp)
    if path is None:
        return _discarding_reader(leg, leg.pair.rtp)
    return path.read_any if leg.counters.first is not None else _first_reader(leg, path.read_any)


def connected_reader_of(leg: MediaLeg, sock: socket.socket) -> Reader:
    """Return the reader for `leg.connected`, whose sender the kernel has checked."""
    path = _path_of(leg, sock)
    if path is None:
        return _discarding_reader(leg, sock)
    reader = path.read_connected
    return reader if leg.counters.first is not None else _first_reader(leg, reader)


def _first_reader(leg: MediaLeg, reader: Reader) -> Reader:
    """Wrap `reader` to note the arrival of the first packet; the wrapper is then dropped."""

    def read(now: float) -> None:
        reader(now)
        if leg.counters.last is not None:
            leg.counters.first = leg.counters.last
            leg.rebuild_readers(leg)

    return read


@dataclass(slots=True, eq=False)
class _Path:
    """The handling of RTP that arrives on `sock`, from the leg's peer to the joined leg's peer."""

    leg: MediaLeg
    sock: socket.socket
    sender: PacketSender | None
    """Sends to the joined peer; None while that peer accepts no media or no leg is joined."""
    kinds: bytes
    second_bytes: bytes
    counters: Counters
    tap: Tap | None
    track: int

    def read_connected(self, now: float) -> None:
        """Read a packet whose source address the kernel has already compared."""
        try:
            data = self.sock.recv(DATAGRAM_BYTES)
        except OSError:  # nothing there after all, or an ICMP error for an earlier packet
            return
        if (len(data) >= _PLAIN_BYTES and data[0] == _PLAIN) or is_rtp(data):
            self._handle(data, now)
        elif not _shared_port_control(self.leg, data, self.leg.connected_to, now):
            self.counters.malformed += 1

    def read_any(self, now: float) -> None:
        """Read a packet and check that it comes from the peer."""
        try:
            data, source = self.sock.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        if not is_rtp(data):
            if not _shared_port_control(self.leg, data, source, now):
                self.counters.malformed += 1
        elif self.leg.accept_source(source[0], source[1]):
            self._handle(data, now)
        else:
            self.leg.refuse(source[0], source[1], now)

    def _handle(self, data: bytes, now: float) -> None:
        second = data[1]
        kind = self.kinds[second]
        if kind == _AUDIO_OR_EVENT:  # maybe a key, sent before its type got another meaning
            kind = _EVENT if len(data) == _EVENT_BYTES else _AUDIO
        if kind and not _handle_non_audio(self.leg, kind, data, now):
            return
        counters = self.counters
        counters.received += 1
        counters.last = now
        if self.sender is None:
            counters.withheld += 1
        else:
            new = self.second_bytes[second]
            out = data if new == second else _with_second(data, new)
            try:
                self.sender.send(out)
            except OSError:
                if not _sent_unconnected(self.leg, out):
                    counters.unsent += 1
        if self.tap is not None and not kind:
            self.tap(self.track, data, now, False)


@dataclass(slots=True, eq=False)
class _SecurePath(_Path):
    """The same for SRTP. A packet that is not authentic is not latched to, forwarded or stored."""

    protection: Protection

    def read_connected(self, now: float) -> None:
        """Read a packet whose source address the kernel has already compared."""
        try:
            data = self.sock.recv(DATAGRAM_BYTES)
        except OSError:
            return
        if len(data) > HEADER_BYTES and data[0] & 0xC0 == _PLAIN and not is_rtcp(data):
            try:
                plain = self.protection.unprotect(data)
            except SrtpError:
                self.leg.refuse_forged(*(self.leg.connected_to or _NO_ADDRESS), now)
                return
            if plain[0] == _PLAIN or is_rtp(plain):
                self._handle(plain, now)
                return
            self.leg.counters.malformed += 1
        else:
            _opened(self.leg, self.protection, data, self.leg.connected_to or _NO_ADDRESS, now)

    def read_any(self, now: float) -> None:
        """Read a packet; one from an impossible source is refused before any cryptography."""
        try:
            data, source = self.sock.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        if not is_rtcp(data) and not self.leg.is_possible_source(source[0], source[1]):
            self.leg.refuse(source[0], source[1], now)
            return
        plain = _opened(self.leg, self.protection, data, source, now)
        if plain is not None:
            self._handle(plain, now)


def _opened(
    leg: MediaLeg, protection: Protection, data: bytes, source: tuple[str, int], now: float
) -> bytes | None:
    """Return the RTP packet in a datagram that could be the peer's.

    Returns None for any other datagram: RTCP is forwarded, the rest is counted and dropped.
    """
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
    leg.accept_source(source[0], source[1])  # only an authentic packet may set the latch
    if is_rtp(plain):
        return plain
    leg.counters.malformed += 1
    return None


def _path_of(leg: MediaLeg, sock: socket.socket) -> _Path | None:
    """Return the path for the peer's RTP; None if the peer is unknown or must not send."""
    remote, other = leg.remote, leg.peer
    if remote is None or not remote.send:
        return None
    settings = (
        leg,
        sock,
        sender_to(other) if other else None,
        leg.kinds,
        _second_bytes(tuple(leg.payload_map.items())),
        leg.counters,
        leg.tap,
        leg.track,
    )
    return _SecurePath(*settings, leg.protection) if leg.protection else _Path(*settings)


def _sent_unconnected(leg: MediaLeg, data: bytes) -> bool:
    """Send a packet without the connected socket, which reported an earlier packet's ICMP error.

    Returns whether the packet was sent. It is not if the peer's leg is protected, because
    `_SrtpSender` makes the second attempt itself.
    """
    peer = leg.peer
    target = peer.destination if peer else None
    if peer is None or peer.connected is None or target is None or peer.protection:
        return False
    try:
        peer.pair.rtp.sendto(data, target)
    except OSError:
        return False
    return True


def kinds_of(remote: RemoteMedia, events: set[int]) -> bytes:
    """Return the kind of packet for each value of the second byte: audio, event, RTCP or unknown.

    `events` holds every payload type that ever meant telephone events. The current ones are added.
    """
    payloads = {**STATIC_PAYLOADS, **remote.payloads}
    events |= {number for number, codec in payloads.items() if codec.is_event}
    return _kinds(
        tuple(
            (number, _EVENT if codec.is_event else _AUDIO_OR_EVENT if number in events else _AUDIO)
            for number, codec in payloads.items()
        )
    )


@lru_cache(maxsize=256)
def _kinds(payloads: Iterable[tuple[int, int]]) -> bytes:
    """Return a table of kinds, indexed by the second byte (marker bit and payload type).

    Legs with the same payload types share one table. The same holds for `_second_bytes`.
    """
    kinds = bytearray([_UNKNOWN]) * 256
    for number, kind in payloads:
        kinds[number] = kinds[number | 0x80] = kind
    kinds[192:224] = bytes([_CONTROL]) * 32
    return bytes(kinds)


@lru_cache(maxsize=256)
def _second_bytes(payload_map: Iterable[tuple[int, int]]) -> bytes:
    """Return the second byte to send for each second byte received."""
    table = bytearray(range(256))
    for old, new in payload_map:
        table[old], table[old | 0x80] = new, new | 0x80
    return bytes(table)


def _with_second(data: bytes, second: int) -> bytes:
    return b"%c%c%b" % (data[0], second, data[2:])


def _handle_non_audio(leg: MediaLeg, kind: int, data: bytes, now: float) -> bool:
    """Handle RTCP, telephone events and unknown types; return whether the packet goes on."""
    counters = leg.counters
    if kind == _CONTROL:
        forward_control(leg, data, leg.connected_to or _NO_ADDRESS, now)
        return False
    if kind == _UNKNOWN:
        counters.unknown += 1
        _tap_header(leg, data, now)
        return True
    counters.events += 1
    if leg.watcher:
        leg.watcher(data, now)
    _tap_header(leg, data, now)
    return True


def _tap_header(leg: MediaLeg, data: bytes, now: float) -> None:
    """Pass only the RTP header to the tap, which then knows that the packet was not lost."""
    if leg.tap is not None:
        leg.tap(leg.track, b"\x80" + data[1:HEADER_BYTES], now, True)


def _discarding_reader(leg: MediaLeg, sock: socket.socket) -> Reader:
    """Return a reader for a leg whose peer must not send, or is not yet known."""
    receive, counters = sock.recvfrom, leg.counters

    def read(now: float) -> None:
        try:
            data, source = receive(DATAGRAM_BYTES)
        except OSError:
            return
        if leg.protection is not None:
            if not leg.is_possible_source(source[0], source[1]):
                leg.refuse(source[0], source[1], now)
            elif _opened(leg, leg.protection, data, source, now) is not None:
                counters.unwanted += 1  # decrypted so that libsrtp keeps counting
        elif _shared_port_control(leg, data, source, now):
            pass
        elif not is_rtp(data):
            counters.malformed += 1
        elif leg.remote is not None and not leg.accept_source(source[0], source[1]):
            leg.refuse(source[0], source[1], now)
        else:
            counters.unwanted += 1

    return read


def _shared_port_control(
    leg: MediaLeg, data: bytes, source: tuple[str, int] | None, now: float
) -> bool:
    """Forward RTCP from the RTP port (RFC 5761); return False if it is not the peer's RTCP."""
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
    """Forward RTCP from `leg`'s peer to the joined leg's peer."""
    if leg.protection is not None:
        try:
            data = leg.protection.unprotect_control(data)
        except SrtpError:
            leg.refuse_forged(source[0], source[1], now)
            return
    leg.counters.rtcp += 1
    peer = leg.peer
    if peer is not None:
        peer.send_control(data)


def control_reader_of(leg: MediaLeg) -> Reader:
    """Return the reader for the leg's RTCP socket."""
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
