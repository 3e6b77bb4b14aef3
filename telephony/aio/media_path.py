"""The path of a media packet: a leg of the relay recognises the packet, forwards it and stores it.

`reader_of`, `connected_reader_of` and `control_reader_of` return a reader for a leg. A reader reads
and handles the packets of one socket (`media_backlog.Reader`). A reader does only the steps that
the leg's settings need. When a setting changes, a new reader is made for the next packet.

With hundreds of calls, the processor's caches do not contain a leg's data when a packet arrives.
Fetching the data takes longer than handling the packet. Therefore, all data that is needed for an
ordinary packet is in few objects, which a `_Path` contains.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from telephony.aio.arrival import DATAGRAM_BYTES
from telephony.aio.media_backlog import Reader
from telephony.aio.media_leg import Counters, MediaLeg, Tap
from telephony.aio.media_sender import PacketSender, sender_to
from telephony.aio.media_source import HostPort, VoiceStream
from telephony.errors import SrtpError
from telephony.rtp.packet import HEADER_BYTES, Octets, is_rtcp, is_rtp
from telephony.rtp.srtp import Protection
from telephony.sdp import STATIC_PAYLOADS, RemoteMedia

_PLAIN, _PLAIN_BYTES = 0x80, 12
"""The first byte and the minimum length, in bytes, of a plain RTP packet.

A plain packet has version 2, no padding, no header extension and no contributing sources. Most
packets are plain. A plain packet needs no full check.
"""
_NO_ADDRESS = "", 0
_BUFFER = bytearray(DATAGRAM_BYTES)
"""The datagram that a reader handles now. The next datagram overwrites it."""
_VIEW = memoryview(_BUFFER)
_AUDIO, _EVENT, _CONTROL, _UNKNOWN, _AUDIO_OR_EVENT = range(5)
_EVENT_BYTES = HEADER_BYTES + 4


def wipe_buffer() -> None:
    """Overwrite the datagram that was handled most recently."""
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
    """Return a reader that calls `make` and `use` when a packet arrives.

    The settings of a leg change several times while a call is set up. So the reader that fits them
    is only made for the next packet.

    Args:
        make: A function that returns a reader for the present settings of the leg.
        use: A function that replaces the reader of the socket. It is called with the reader from
            `make`, which then also handles the packet.
    """
    return _ReaderToMake(make, use)


@dataclass(slots=True, eq=False)
class _ReaderToMake:
    """The reader of a socket whose leg has changed since the latest packet."""

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
    """Return the reader of `leg.connected`, which is `sock`.

    The kernel delivers only packets from the peer to this socket.
    """
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
    """Return the arguments of a `_Path` that reads RTP of the leg's peer from `sock`.

    Return None if the peer is unknown or must not send.
    """
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
        leg.tap,
        leg.track,
        leg.voice if leg.watcher is not None else None,
    )


@dataclass(slots=True, eq=False)
class _FirstReader:
    """The reader of a leg that has received no valid packet yet.

    It passes each packet to `reader`, and stores the time of the first valid packet in
    `Counters.first`. Then the relay makes new readers, which replace this one.
    """

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
    """The object that sends packets to the joined leg's peer.

    None while the joined leg's peer accepts no media, or while no leg is joined.
    """
    kinds: bytes
    second_bytes: bytes
    counters: Counters
    tap: Tap | None
    track: int
    voice: VoiceStream | None
    """The stream of the peer's voice; None if no code needs it, to save time."""

    def lost(self, count: int, since: float, until: float) -> None:
        """Count packets that the kernel dropped, and report them to `MediaLeg.on_lost`."""
        counters = self.counters
        counters.overflowed += count
        if self.tap is not None and self.leg.on_lost is not None:
            self.leg.on_lost(self.track, count, max(since, counters.last or 0.0), until)

    def _forward(  # noqa: C901 - a call for each step would take longer than the step
        self, data: bytearray | memoryview, source: HostPort, arrived: float
    ) -> None:
        """Forward a valid RTP packet of the leg's peer, and store it.

        The payload type is changed in place, because a copy would leave audio in memory.
        """
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
    """The `_ConnectedPath` of a leg with SRTP.

    A packet that is not authentic is not forwarded and not stored.
    """

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
    """The `_OpenPath` of a leg with SRTP.

    A packet that is not authentic is not forwarded and not stored. Its sender is never accepted as
    the leg's peer. If the source address cannot belong to the peer, the packet is refused before
    decryption.
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
    """Decrypt the datagram `data`, and return the RTP packet.

    Return None if `data` is not authentic RTP. In this case, the datagram is forwarded if it is an
    RTCP packet from the peer. Otherwise, it is counted and dropped.
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
    """Try again to forward a packet that `leg` has received; return whether it was sent.

    The joined leg's connected socket has failed to send the packet, perhaps because of an ICMP
    error for an earlier packet. This function uses the joined leg's unconnected socket, `pair.rtp`.
    With SRTP, nothing is sent, because `_SrtpSender` has already tried both sockets.
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
    """Return a look-up table that gives a packet's kind: audio, event, RTCP or unknown.

    The table has 256 entries, one for each value of a packet's second byte.

    Args:
        remote: The media of the peer, with its payload types.
        events: The payload types that meant telephone events on this leg before. The function adds
            to this set the payload types that mean telephone events in `remote`.
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
    """Return a look-up table: for each value of a packet's second byte, the packet's kind.

    The kinds are audio, event, RTCP and unknown (see `kinds_of`). The second byte contains the
    marker bit and the payload type. `payloads` contains pairs (payload type, kind). The result
    is cached, so that legs with the same pairs share one table.
    """
    kinds = bytearray([_UNKNOWN]) * 256
    for number, kind in payloads:
        kinds[number] = kinds[number | 0x80] = kind
    kinds[192:224] = bytes([_CONTROL]) * 32
    return bytes(kinds)


@lru_cache(maxsize=256)
def _second_bytes(payload_map: Iterable[tuple[int, int]]) -> bytes:
    """Return a table that translates the second byte of a received packet to the byte to send.

    `payload_map` contains pairs of a received payload type and the payload type to send. A payload
    type without a pair does not change. The result is cached, so that legs with the same pairs
    share one table.
    """
    table = bytearray(range(256))
    for old, new in payload_map:
        table[old], table[old | 0x80] = new, new | 0x80
    return bytes(table)


def _handle_non_audio(leg: MediaLeg, kind: int, data: Octets, source: HostPort, now: float) -> bool:
    """Handle a packet that is RTCP, is a telephone event, or has an unknown payload type.

    Return True if the caller of this function must now forward the packet as RTP. Return False for
    RTCP, which this function has forwarded.

    A packet is counted as received directly before the tap gets it. So whenever the recorder
    compares the counts, it has decided about each packet that is counted.
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
    """Give the recorder only the RTP header of a packet.

    Without the header, the recorder would count the packet as lost.
    """
    if leg.tap is not None:
        leg.tap(leg.track, b"\x80" + data[1:HEADER_BYTES], now, True)


@dataclass(slots=True, eq=False)
class _DiscardingReader:
    """Counts and drops RTP, for a peer that is unknown or must not send."""

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
        del since, until
        self.leg.counters.overflowed += count


def _shared_port_control(
    leg: MediaLeg, data: Octets, source: tuple[str, int] | None, now: float
) -> bool:
    """Forward `data`, which arrived on the RTP port, if it is RTCP from the peer (RFC 5761).

    Return True if `data` was RTCP from the peer, and False if not.
    """
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
    """Forward the RTCP packet `data` from the peer of `leg` to the peer of the joined leg.

    `source` is the address from which the packet arrived; it has already been checked. With SRTP,
    a packet that is not authentic is refused.
    """
    if leg.protection is not None:
        try:
            data = leg.protection.unprotect_control(bytes(data))
        except SrtpError:
            leg.refuse_forged(source[0], source[1], now)
            return
    leg.counters.rtcp += 1
    if leg.on_report is not None:
        leg.on_report(leg.track, data, now)
    peer = leg.peer
    if peer is not None:
        peer.send_control(data)


@dataclass(slots=True, eq=False)
class _ControlReader:
    """Forwards RTCP of the leg's peer, which arrives at the leg's RTCP socket."""

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
