"""RTP traffic with many packets per system call, so that measuring costs little."""

import ctypes
import ctypes.util
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from _histogram import Histogram

from telephony.rtp.srtp import Protection
from telephony.sdp import KeyPair, Suite

HOST = "127.0.0.1"
PACKET_BYTES = 172
SOUND_BYTES = 160
TAG_BYTES = {Suite.AES_CM_128_HMAC_SHA1_80: 10, Suite.AEAD_AES_128_GCM: 16}
"""The bytes that each suite of SRTP adds to a packet."""
HEADER_BYTES = 12
TIME_BYTES = 8
"""The first bytes of the sound are the time at which the packet was sent, in ns since 1970."""
QUIET_S = 2.0
"""After this time without a packet, no more are expected. An overloaded relay stalls for less."""
SO_TIMESTAMPNS = 35
"""The socket option of Linux that adds to each packet the time at which it arrived (socket(7))."""
CONTROL_BYTES = 32
"""A control message: its length, level and type (16 bytes), then seconds and nanoseconds."""
SLICES = 200
"""The parts of 20 ms in which streams send.

Calls begin at any moment, so their packets arrive spread out, not in bursts that one wake-up could
serve.
"""

Times = np.ndarray[tuple[int], np.dtype[np.int64]]


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("spans", ctypes.c_void_p),
        ("span_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("size", ctypes.c_uint))


class Batch:
    """Datagrams for `sendmmsg` and `recvmmsg`: many in one system call."""

    def __init__(
        self,
        count: int,
        ports: list[int] | None = None,
        keys: KeyPair | None = None,
        sounds: Sequence[bytes] = (),
    ) -> None:
        """Make room for `count` packets; those to send go to one of `ports` each.

        They are protected by `keys` (SRTP), or each repeats one of `sounds`.
        """
        self.count = count
        self._end = None if keys is None else Protection(keys)
        self._sounds = sounds
        self._size = PACKET_BYTES + (0 if keys is None else TAG_BYTES[keys.ours.suite])
        self.data = ctypes.create_string_buffer(count * self._size)
        self._spans = (_Span * count)()
        self._names = ctypes.create_string_buffer(16 * count)
        self.messages = (_Message * count)()
        for index in range(count):
            self._spans[index].base = ctypes.addressof(self.data) + index * self._size
            self._spans[index].size = self._size
            header = self.messages[index].header
            header.spans = ctypes.addressof(self._spans) + index * ctypes.sizeof(_Span)
            header.span_count = 1
            if ports:
                name = struct.pack("=H", socket.AF_INET) + struct.pack(
                    "!H4s8x", ports[index], socket.inet_aton(HOST)
                )
                ctypes.memmove(ctypes.addressof(self._names) + 16 * index, name, 16)
                header.name = ctypes.addressof(self._names) + 16 * index
                header.name_size = 16
        self._control = ctypes.create_string_buffer(0)

    def receive_times(self) -> None:
        """Make room for the kernel's time of each packet to receive; see `listening`."""
        self._control = ctypes.create_string_buffer(self.count * CONTROL_BYTES)
        for index in range(self.count):
            header = self.messages[index].header
            header.control = ctypes.addressof(self._control) + index * CONTROL_BYTES
            header.control_size = CONTROL_BYTES

    def number(self, sequence: int) -> None:
        """Give every packet the header with this sequence number, and its next sound.

        Without SRTP and sounds, the sound begins with the present time.
        """
        head = struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, 7)
        if self._end is None and not self._sounds:
            head += time.time_ns().to_bytes(TIME_BYTES, "little")
        if self._end is not None:
            head = self._end.protect(head + bytes(PACKET_BYTES - len(head)))
        for index in range(self.count):
            packet = head
            if self._sounds:
                sound = self._sounds[index]
                at = sequence * SOUND_BYTES % len(sound)
                packet = head + sound[at : at + SOUND_BYTES]
            ctypes.memmove(ctypes.addressof(self.data) + index * self._size, packet, len(packet))

    def times(self, count: int) -> tuple[Times, Times]:
        """Return when the first `count` packets were sent and when they arrived, in ns since 1970.

        The first time is in the packet. The second is the kernel's, so it does not depend on when
        this process read the packet.
        """
        packets = np.frombuffer(memoryview(self.data), np.uint8).reshape(self.count, self._size)[
            :count
        ]
        begin = np.ascontiguousarray(packets[:, HEADER_BYTES : HEADER_BYTES + TIME_BYTES])
        control = np.frombuffer(memoryview(self._control), "<i8").reshape(self.count, -1)[:count]
        return begin.view("<i8")[:, 0], control[:, 2] * 1_000_000_000 + control[:, 3]


@dataclass
class Traffic:
    """The packets of one exchange."""

    sent: int = 0
    back: int = 0
    """The number of packets that came back."""
    unsent: int = 0
    """The number of packets that were not sent for lack of time."""
    delays: Histogram = field(default_factory=Histogram)
    """The ms from sending each packet until it came back; empty if the packets carry no time."""

    def delay(self) -> dict[str, float]:
        """Return the median, the 99th percentile and the longest delay, in ms; nothing if none."""
        found = self.delays.figures("delay_ms", (50, 99))
        return {name: value for name, value in found.items() if value is not None}


def listening(host: str = HOST) -> socket.socket:
    """Return a socket that receives for all parties; each packet has its time of arrival."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sink.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sink.bind((host, 0))
    return sink


def batches(
    ports: list[int], keys: KeyPair | None = None, sounds: Sequence[bytes] = ()
) -> list[Batch]:
    """Return one batch for each part of 20 ms, which together send a packet to each port."""
    size = -(-len(ports) // SLICES)
    return [
        Batch(
            len(ports[start : start + size]),
            ports[start : start + size],
            keys,
            sounds[start : start + size],
        )
        for start in range(0, len(ports), size)
    ]


def exchange(
    sink: socket.socket,
    ports: list[int],
    seconds: float,
    keys: KeyPair | None = None,
    sounds: Sequence[bytes] = (),
) -> Traffic:
    """Send to each port every 20 ms, protected by `keys`, for `seconds` and no longer.

    The sound is zeros or, without keys, one of `sounds` (whole packets) for each port. It sends
    from the port at which it receives, as phones do (RFC 4961).
    """
    libc = library()
    parts = batches(ports, keys, sounds)
    room = Batch(256)
    room.receive_times()
    traffic = Traffic()
    timed = keys is None and not sounds
    begun = time.perf_counter()
    for step in range(int(seconds * 50) * len(parts)):
        if time.perf_counter() - begun > seconds:
            break
        batch = parts[step % len(parts)]
        batch.number(step // len(parts))
        traffic.sent += max(libc.sendmmsg(sink.fileno(), batch.messages, batch.count, 0), 0)
        _drain(libc, sink, room, traffic, timed=timed)
        wait = begun + (step + 1) * 0.02 / len(parts) - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
    while select.select([sink], [], [], QUIET_S)[0]:
        _drain(libc, sink, room, traffic, timed=timed)
    traffic.unsent = int(seconds * 50) * len(ports) - traffic.sent
    return traffic


def library() -> ctypes.CDLL:
    """Return the C library, for `sendmmsg` and `recvmmsg`."""
    return ctypes.CDLL(ctypes.util.find_library("c"))


def _drain(
    libc: ctypes.CDLL, sink: socket.socket, room: Batch, traffic: Traffic, *, timed: bool
) -> None:
    while True:
        got: int = libc.recvmmsg(
            sink.fileno(), room.messages, room.count, socket.MSG_DONTWAIT, None
        )
        if got <= 0:
            return
        traffic.back += got
        if timed:
            sent, arrived = room.times(got)
            traffic.delays.add((arrived - sent) / 1e6)
        if got < room.count:
            return
