"""The path of a media packet: a leg of the relay recognises the packet, forwards it and stores it.

`reader_of`, `connected_reader_of` and `control_reader_of` return a reader for a leg. A reader is a
function that reads and handles one packet. A reader does only the steps that the leg's settings
need. When a setting changes, a new reader is made.

With hundreds of calls, the processor's caches do not contain a leg's data when a packet arrives.
Fetching the data takes longer than handling the packet. Therefore, all data that is needed for an
ordinary packet is in few objects, which a `_Path` contains.
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
"""The size of the largest datagram that is read, in bytes.

A datagram can be larger than an Ethernet frame. An RTP packet with 20 ms of stereo L16 at 48 kHz
has 3852 bytes. An RTP packet with 120 ms of Opus has six frames of at most 1275 bytes (RFC 6716,
section 3.4), so it has fewer than 7700 bytes.
"""
_PLAIN, _PLAIN_BYTES = 0x80, 12
"""The first byte and the minimum length, in bytes, of a plain RTP packet.

A plain packet has version 2, no padding, no header extension and no contributing sources. Most
packets are plain. A plain packet needs no full check.
"""
_NO_ADDRESS = "", 0
_AUDIO, _EVENT, _CONTROL, _UNKNOWN, _AUDIO_OR_EVENT = range(5)
_EVENT_BYTES = HEADER_BYTES + 4


def reader_of(leg: MediaLeg) -> Reader:
    """Return the function that reads packets from `leg.pair.rtp`.

    Any host can send to this socket.
    """
    path = _path_of(leg, leg.pair.rtp)
    if path is None:
        return _discarding_reader(leg, leg.pair.rtp)
    return path.read_any if leg.counters.first is not None else _first_reader(leg, path.read_any)


def connected_reader_of(leg: MediaLeg, sock: socket.socket) -> Reader:
    """Return the function that reads packets from `leg.connected`.

    The kernel delivers only packets from the peer to this socket.
    """
    path = _path_of(leg, sock)
    if path is None:
        return _discarding_reader(leg, sock)
    reader = path.read_connected
    return reader if leg.counters.first is not None else _first_reader(leg, reader)


def _first_reader(leg: MediaLeg, reader: Reader) -> Reader:
    """Return a function that calls `reader` and stores the time of the first valid packet.

    The time is stored in `Counters.first`. When it is stored, the relay replaces the returned
    function by a new reader.
    """

    def read(now: float) -> None:
        reader(now)
        if leg.counters.last is not None:
            leg.counters.first = leg.counters.last
            leg.rebuild_readers(leg)

    return read


@dataclass(slots=True, eq=False)
class _Path:
    """Reads RTP of the leg's peer from `sock`, and forwards it to the joined leg's peer."""

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

    def read_connected(self, now: float) -> None:
        """Read and handle one packet whose source address the kernel has already checked."""
        try:
            data = self.sock.recv(DATAGRAM_BYTES)
        except OSError:  # nothing to read, or a sent packet has caused an ICMP error
            return
        if (len(data) >= _PLAIN_BYTES and data[0] == _PLAIN) or is_rtp(data):
            self._handle(data, now)
        elif not _shared_port_control(self.leg, data, self.leg.connected_to, now):
            self.counters.malformed += 1

    def read_any(self, now: float) -> None:
        """Read one packet, check that it comes from the peer, and handle it."""
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
        if kind == _AUDIO_OR_EVENT:  # a payload type that meant events and now means audio
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
    """The `_Path` of a leg with SRTP.

    A packet that is not authentic is not forwarded and not stored. Its sender is never accepted as
    the leg's peer.
    """

    protection: Protection

    def read_connected(self, now: float) -> None:
        """Read, decrypt and handle one packet whose source the kernel has already checked."""
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
        """Read, decrypt and handle one packet.

        If the source address cannot belong to the peer, the packet is refused before decryption.
        """
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
        plain = protection.unprotect(data)
    except SrtpError:
        leg.refuse_forged(source[0], source[1], now)
        return None
    leg.accept_source(source[0], source[1])  # only an authentic packet may set the peer's address
    if is_rtp(plain):
        return plain
    leg.counters.malformed += 1
    return None


def _path_of(leg: MediaLeg, sock: socket.socket) -> _Path | None:
    """Return the object that reads RTP of the leg's peer from `sock` and forwards it.

    Return None if the peer is unknown or must not send.
    """
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


def _with_second(data: bytes, second: int) -> bytes:
    return b"%c%c%b" % (data[0], second, data[2:])


def _handle_non_audio(leg: MediaLeg, kind: int, data: bytes, now: float) -> bool:
    """Handle a packet that is RTCP, is a telephone event, or has an unknown payload type.

    Return True if the caller of this function must now forward the packet as RTP. Return False for
    RTCP, which this function has forwarded.
    """
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
    """Give the recorder only the RTP header of a packet.

    Without the header, the recorder would count the packet as lost.
    """
    if leg.tap is not None:
        leg.tap(leg.track, b"\x80" + data[1:HEADER_BYTES], now, True)


def _discarding_reader(leg: MediaLeg, sock: socket.socket) -> Reader:
    """Return a function that counts and drops RTP, for a peer that is unknown or must not send."""
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
                # The packet is dropped. It was decrypted only so that libsrtp's packet counter
                # stays correct.
                counters.unwanted += 1
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
    if leg.latched and leg.rule is SourceRule.LATCH:
        return leg.latched[0]
    return leg.remote.host if leg.remote else None


def forward_control(leg: MediaLeg, data: bytes, source: tuple[str, int], now: float) -> None:
    """Forward the RTCP packet `data` from the peer of `leg` to the peer of the joined leg.

    `source` is the address from which the packet arrived; it has already been checked. With SRTP,
    a packet that is not authentic is refused.
    """
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
    """Return the function that reads packets from the leg's RTCP socket."""
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
