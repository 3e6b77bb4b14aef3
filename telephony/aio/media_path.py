"""The path of a media packet: a leg of the relay recognises the packet, forwards it and stores it.

A reader (`media_backlog.Reader`) handles the packets of one socket, and does only the steps that
the leg's settings need. When a setting changes, a new reader is made for the next packet.

With hundreds of calls, a leg's data is not in the processor's caches when a packet arrives.
Fetching it takes longer than handling the packet. So a `_Path` has all that an ordinary packet
needs, in few objects.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from telephony.aio.arrival import DATAGRAM_BYTES
from telephony.aio.media_backlog import Reader
from telephony.aio.media_leg import Counters, MediaLeg, PacketSender, Tap, sender_to
from telephony.aio.media_source import HostPort, VoiceStream
from telephony.errors import SrtpError
from telephony.rtp.packet import HEADER_BYTES, Octets, is_rtcp, is_rtp
from telephony.rtp.srtp import Protection
from telephony.sdp import STATIC_PAYLOADS, RemoteMedia

_PLAIN, _PLAIN_BYTES = 0x80, 12
"""The first byte and minimum length (bytes) of a plain RTP packet, which needs no full check.

Most packets are plain: version 2, no padding, no header extension, no contributing sources.
"""
_NO_ADDRESS = "", 0
_BUFFER = bytearray(DATAGRAM_BYTES)
"""The datagram that `read` handles now. The next `read` overwrites it."""
_VIEW = memoryview(_BUFFER)
_AUDIO, _EVENT, _CONTROL, _UNKNOWN, _AUDIO_OR_EVENT = range(5)
_EVENT_BYTES = HEADER_BYTES + 4


def wipe_buffer() -> None:
    """Overwrite the datagram that a reader has read most recently."""
    _BUFFER[:] = bytes(DATAGRAM_BYTES)


def reader_of(leg: MediaLeg) -> Reader:
    """Return the reader of `leg.pair.rtp`. Any host can send to this socket."""
    sock = leg.pair.rtp
    settings = _settings_of(leg, sock)
    if settings is None:
        return _DiscardingReader(leg, sock)
    path = _SecureOpenPath(*settings, leg.protection) if leg.protection else _OpenPath(*settings)
    return path if leg.counters.first is not None else _FirstReader(leg, path)


def reader_made_later(make: Callable[[], Reader], use: Callable[[Reader], None]) -> Reader:
    """Return a reader that makes the real one with `make` when a packet arrives.

    A leg's settings change several times during set-up, so most readers would never be used. `use`
    must put the real reader in place. The real reader then handles the packet.
    """
    return _ReaderToMake(make, use)


@dataclass(slots=True, eq=False)
class _ReaderToMake:
    make: Callable[[], Reader]
    use: Callable[[Reader], None]

    def read(self, now: float) -> None:
        self._made().read(now)

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        self._made().handle(data, source, arrived)

    def lost(self, count: int, since: float, until: float) -> None:
        self._made().lost(count, since, until)

    def _made(self) -> Reader:
        reader = self.make()
        self.use(reader)
        return reader


def connected_reader_of(leg: MediaLeg, sock: socket.socket) -> Reader:
    """Return the reader of `leg.connected` (`sock`), which gets only the peer's packets."""
    settings = _settings_of(leg, sock)
    if settings is None:
        return _DiscardingReader(leg, sock)
    path = (
        _SecureConnectedPath(*settings, leg.protection)
        if leg.protection
        else _ConnectedPath(*settings)
    )
    return path if leg.counters.first is not None else _FirstReader(leg, path)


_Settings = tuple[
    MediaLeg,
    socket.socket,
    PacketSender | None,
    bytes,
    bytes,
    Counters,
    Tap | None,
    int,
    VoiceStream | None,
]


def _settings_of(leg: MediaLeg, sock: socket.socket) -> _Settings | None:
    """Return the arguments of a `_Path`; None if the peer is unknown or must not send."""
    remote, other = leg.remote, leg.peer
    if remote is None or not remote.send:
        return None
    return (
        leg,
        sock,
        sender_to(other) if other else None,
        leg.kinds,
        _second_bytes(tuple(leg.payload_map.items())),
        leg.counters,
        leg.listener.tap,
        leg.listener.track,
        leg.voice if leg.watcher is not None else None,
    )


@dataclass(slots=True, eq=False)
class _FirstReader:
    """Reads for a leg until its first valid packet, whose time it stores in `Counters.first`."""

    leg: MediaLeg
    reader: Reader

    def read(self, now: float) -> None:
        self.reader.read(now)
        self._check()

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        self.reader.handle(data, source, arrived)
        self._check()

    def lost(self, count: int, since: float, until: float) -> None:
        self.reader.lost(count, since, until)

    def _check(self) -> None:
        counters = self.leg.counters
        if counters.last is not None:
            counters.first = counters.last
            self.leg.rebuild_readers(self.leg)
            if self.leg.unconfirmed:  # from now on, the peer gets media
                self.leg.rebuild_readers(self.leg.peer)


@dataclass(slots=True, eq=False)
class _Path:
    """Forwards RTP of the leg's peer, which arrives at `sock`, to the joined leg's peer."""

    leg: MediaLeg
    sock: socket.socket
    sender: PacketSender | None
    """None while no leg is joined, or while the joined leg has no `destination`."""
    kinds: bytes
    second_bytes: bytes
    counters: Counters
    tap: Tap | None
    track: int
    voice: VoiceStream | None
    """The stream of the peer's voice; None while the leg has no watcher, to save time."""

    def lost(self, count: int, since: float, until: float) -> None:
        on_lost = self.leg.listener.on_lost
        if self.tap is not None and on_lost is not None:
            on_lost(self.track, count, max(since, self.counters.last or 0.0), until)

    def _forward(  # noqa: C901 - a call for each step would take longer than the step
        self, data: bytearray | memoryview, source: HostPort, arrived: float
    ) -> None:
        """Forward and store a packet. Change it in place, as a copy would leave audio in memory."""
        second = data[1]
        kind = self.kinds[second]
        if kind == _AUDIO_OR_EVENT:  # a payload type that meant events and now means audio
            kind = _EVENT if len(data) == _EVENT_BYTES else _AUDIO
        counters = self.counters
        if not kind:
            counters.received += 1
            voice = self.voice
            if voice is not None and (
                data[11] != voice.low_byte
                or (source is not voice.sender and source[:2] != voice.sender)
            ):
                self.leg.hear_voice(source, bytes(data[8:12]), arrived)
        elif not _handle_non_audio(self.leg, kind, data, source, arrived):
            return
        counters.last = arrived
        if self.sender is None:
            counters.withheld += 1
        else:
            sent_as = self.second_bytes[second]
            if sent_as != second:
                data[1] = sent_as
            try:
                self.sender.send(data)
            except OSError:
                if not _sent_unconnected(self.leg, data):
                    counters.unsent += 1
            if sent_as != second:
                data[1] = second
        if self.tap is not None and not kind:
            self.tap(self.track, data, arrived, False)


@dataclass(slots=True, eq=False)
class _ConnectedPath(_Path):
    """The `_Path` of a socket that is connected to the peer: the kernel checks the source."""

    def read(self, now: float) -> None:
        try:
            length = self.sock.recv_into(_BUFFER)
        except OSError:  # nothing to read, or a sent packet has caused an ICMP error
            return
        self.handle(_VIEW[:length], self.leg.connected_to or _NO_ADDRESS, now)

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        if (len(data) >= _PLAIN_BYTES and data[0] == _PLAIN) or is_rtp(data):
            self._forward(data, source, arrived)
        elif not _shared_port_control(self.leg, data, source, arrived):
            self.counters.malformed += 1


@dataclass(slots=True, eq=False)
class _OpenPath(_Path):
    """The `_Path` of a socket to which any host can send: each source is checked."""

    def read(self, now: float) -> None:
        try:
            length, source = self.sock.recvfrom_into(_BUFFER)
        except OSError:
            return
        self.handle(_VIEW[:length], source, now)

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        if not is_rtp(data):
            if not _shared_port_control(self.leg, data, source, arrived):
                self.counters.malformed += 1
        elif self.leg.accepts(source):
            self._forward(data, source, arrived)
        else:
            for kept, at in self.leg.prove(source, data, arrived):
                self._forward(kept, source, at)


@dataclass(slots=True, eq=False)
class _SecureConnectedPath(_ConnectedPath):
    """The `_ConnectedPath` of a leg with SRTP: drops packets that are not authentic."""

    protection: Protection

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        if len(data) > HEADER_BYTES and data[0] & 0xC0 == _PLAIN and not is_rtcp(data):
            try:
                plain = bytearray(self.protection.unprotect(bytes(data)))
            except SrtpError:
                self.leg.refuse_forged(source[0], source[1], arrived)
                return
            if plain[0] == _PLAIN or is_rtp(plain):
                self._forward(plain, source, arrived)
                return
            self.counters.malformed += 1
        else:
            _opened(self.leg, self.protection, data, source, arrived)


@dataclass(slots=True, eq=False)
class _SecureOpenPath(_OpenPath):
    """The `_OpenPath` of a leg with SRTP: drops packets that are not authentic.

    An RTP packet whose source cannot be the peer's is refused before decryption.
    """

    protection: Protection

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        if not is_rtcp(data) and not self.leg.could_accept(source, arrived):
            self.leg.refuse(source[0], source[1], arrived)
            return
        plain = _opened(self.leg, self.protection, data, source, arrived)
        if plain is not None:
            self._forward(plain, source, arrived)


def _opened(
    leg: MediaLeg, protection: Protection, data: Octets, source: tuple[str, int], now: float
) -> bytearray | None:
    """Decrypt a datagram and return the RTP packet; None if it is not authentic RTP.

    RTCP from the peer is forwarded here. Any other datagram is counted and dropped.
    """
    if is_rtcp(data):
        if not _shared_port_control(leg, data, source, now):
            leg.refuse(source[0], source[1], now)
        return None
    if len(data) < HEADER_BYTES or data[0] & 0xC0 != _PLAIN:
        leg.counters.malformed += 1
        return None
    try:
        plain = bytearray(protection.unprotect(bytes(data)))
    except SrtpError:
        leg.refuse_forged(source[0], source[1], now)
        return None
    leg.accept_authentic(source)
    if is_rtp(plain):
        return plain
    leg.counters.malformed += 1
    return None


def _sent_unconnected(leg: MediaLeg, data: Octets) -> bool:
    """Try again to forward a packet, by `pair.rtp`; return whether it was sent.

    The joined leg's connected socket has failed, perhaps because of an ICMP error for an earlier
    packet. With SRTP, nothing is sent: `_SrtpSender` has already tried both sockets.
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
    """Return a table that gives a packet's kind (audio, event, RTCP, unknown) by its second byte.

    `events` has the payload types that have meant telephone events on this leg before. The
    event types of `remote` are added to it.
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
    """Return the table of `kinds_of` for pairs (payload type, kind). Legs share a cached table."""
    kinds = bytearray([_UNKNOWN]) * 256
    for number, kind in payloads:
        kinds[number] = kinds[number | 0x80] = kind
    kinds[192:224] = bytes([_CONTROL]) * 32
    return bytes(kinds)


@lru_cache(maxsize=256)
def _second_bytes(payload_map: Iterable[tuple[int, int]]) -> bytes:
    """Return a cached table that maps a received second byte to the second byte to send."""
    table = bytearray(range(256))
    for old, new in payload_map:
        table[old], table[old | 0x80] = new, new | 0x80
    return bytes(table)


def _handle_non_audio(leg: MediaLeg, kind: int, data: Octets, source: HostPort, now: float) -> bool:
    """Handle RTCP, a telephone event or an unknown payload type.

    Return True if the packet must now be forwarded as RTP, and False for RTCP, which is forwarded
    here. Count a packet as `received` only directly before the tap gets it, because the recorder
    compares this count with what its tap got.
    """
    counters = leg.counters
    if kind == _CONTROL:
        forward_control(leg, data, source, now)
        return False
    if kind == _UNKNOWN:
        counters.unknown += 1
        counters.received += 1
        _tap_header(leg, data, now)
        return True
    counters.events += 1
    if leg.watcher:
        leg.hear_key(source, data, now)
    counters.received += 1
    _tap_header(leg, data, now)
    return True


def _tap_header(leg: MediaLeg, data: Octets, now: float) -> None:
    """Give the recorder only the RTP header of a packet, so that it does not count as lost."""
    if leg.listener.tap is not None:
        leg.listener.tap(leg.listener.track, b"\x80" + data[1:HEADER_BYTES], now, True)


@dataclass(slots=True, eq=False)
class _DiscardingReader:
    """Counts and drops the RTP of a peer that is unknown or must not send; forwards its RTCP."""

    leg: MediaLeg
    sock: socket.socket

    def read(self, now: float) -> None:
        try:
            length, source = self.sock.recvfrom_into(_BUFFER)
        except OSError:
            return
        self.handle(_VIEW[:length], source, now)

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        leg = self.leg
        if leg.protection is not None:
            if not leg.could_accept(source, arrived):
                leg.refuse(source[0], source[1], arrived)
            elif _opened(leg, leg.protection, data, source, arrived) is not None:
                # The packet is dropped. It was decrypted only so that libsrtp's packet counter
                # stays correct.
                leg.counters.unwanted += 1
        elif _shared_port_control(leg, data, source, arrived):
            pass
        elif not is_rtp(data):
            leg.counters.malformed += 1
        elif leg.remote is not None and not leg.could_accept(source, arrived):
            leg.refuse(source[0], source[1], arrived)
        else:
            leg.counters.unwanted += 1

    def lost(self, count: int, since: float, until: float) -> None:
        """Ignore packets that would have been dropped anyway."""


def _shared_port_control(
    leg: MediaLeg, data: Octets, source: tuple[str, int] | None, now: float
) -> bool:
    """Forward RTCP from the peer's host on the RTP port (RFC 5761); return False for all else."""
    if not is_rtcp(data) or source is None or leg.remote is None:
        return False
    if source[0] != _control_host(leg):
        return False
    forward_control(leg, data, source, now)
    return True


def _control_host(leg: MediaLeg) -> str | None:
    if leg.source.learned is not None:
        return leg.source.learned[0]
    return leg.remote.host if leg.remote else None


def forward_control(leg: MediaLeg, data: Octets, source: tuple[str, int], now: float) -> None:
    """Forward RTCP whose source was checked. With SRTP, refuse RTCP that is not authentic."""
    if leg.protection is not None:
        try:
            data = leg.protection.unprotect_control(bytes(data))
        except SrtpError:
            leg.refuse_forged(source[0], source[1], now)
            return
    leg.counters.rtcp += 1
    if leg.listener.on_report is not None:
        leg.listener.on_report(leg.listener.track, data, now)
    peer = leg.peer
    if peer is not None:
        peer.send_control(data)


@dataclass(slots=True, eq=False)
class _ControlReader:
    leg: MediaLeg

    def read(self, now: float) -> None:
        try:
            length, source = self.leg.pair.rtcp.recvfrom_into(_BUFFER)
        except OSError:
            return
        self.handle(_VIEW[:length], source, now)

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        leg = self.leg
        if not is_rtcp(data):
            leg.counters.malformed += 1
        elif source[0] == _control_host(leg) or (leg.remote and source[0] == leg.remote.rtcp_host):
            forward_control(leg, data, source, arrived)
        elif leg.remote is not None:
            leg.refuse(source[0], source[1], arrived)

    def lost(self, count: int, since: float, until: float) -> None:
        """Ignore lost RTCP: the next report replaces a lost one."""


def control_reader_of(leg: MediaLeg) -> Reader:
    """Return the reader of the leg's RTCP socket."""
    return _ControlReader(leg)
