"""The time at which the kernel received a datagram, or the latest data of a TCP connection.

A datagram may wait in its socket while this process is busy or stopped. The kernel notes its
arrival by the wall clock (SO_TIMESTAMPNS, SIOCGSTAMPNS). This module converts this time to the
monotonic clock. For TCP, the kernel knows only the arrival of the latest data (TCP_INFO).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

DATAGRAM_BYTES: Final = 8_192
"""The size of the largest datagram that is read, in bytes. 120 ms of Opus have fewer than 7700."""

# The constants of Linux (asm-generic/socket.h, linux/sockios.h, linux/tcp.h).
_SO_TIMESTAMPNS: Final = 35
_SO_RXQ_OVFL: Final = 40
_SO_MEMINFO: Final = 55
_SIOCGSTAMPNS: Final = 0x8907
_MEMINFO: Final = struct.Struct("=9I")
_TIMESPEC: Final = struct.Struct("@ll")
_COUNT: Final = struct.Struct("=I")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_COUNT.size)
_TCP_INFO_BYTES: Final = 160
_LAST_DATA_RECEIVED: Final = 52
_DATA_SEGMENTS: Final = 152
_STEP_S: Final = 0.005
"""If the offset of the two clocks changes by more than this (seconds), the wall clock was set."""
_ROUNDING_S: Final = 1e-6
"""Smaller changes of this offset, in seconds, are rounding errors: Unix times are floats."""
_SLACK_S: Final = 0.001
_MOST_ERRORS: Final = 16
_TICK_S: Final = 0.011
"""The largest error of the kernel's TCP time in seconds: 10 ms (CONFIG_HZ=100) and rounding."""


_scratch = bytearray(DATAGRAM_BYTES)


class Datagram(NamedTuple):
    """A datagram with the time of its arrival."""

    data: bytearray
    source: tuple[str, int]
    arrived: float
    """In monotonic seconds."""
    dropped: int
    """Datagrams that the kernel had dropped at this socket so far; wraps after 32 bits."""


def wall_clock() -> float:
    """Return the Unix time, in seconds, by the clock with which the kernel notes arrivals."""
    return time.clock_gettime(time.CLOCK_REALTIME)


class ArrivalClock:
    """Converts wall-clock times of the kernel to monotonic times."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = wall_clock,
    ) -> None:
        """Compare both clocks three times. `clock` returns monotonic seconds, `wall` Unix time."""
        self._clock = clock
        self._wall = wall
        self._offset = self._former_offset = min(wall() - clock() for _ in range(3))
        self._stepped_at = float("-inf")

    def now(self) -> float:
        """Return the present time in monotonic seconds, and notice if the wall clock was set.

        If this process is interrupted between reading the two clocks, their offset looks too large.
        So the stored offset changes only if an interruption cannot explain the difference.
        """
        now = self._clock()
        highest = self._wall() - now
        if abs(highest - self._offset) <= _ROUNDING_S:
            return now
        lowest = highest - (self._clock() - now)
        offset = min(max(self._offset, lowest - _ROUNDING_S), highest + _ROUNDING_S)
        if abs(offset - self._offset) > _STEP_S:
            self._former_offset, self._stepped_at = self._offset, now
        self._offset = offset
        return now

    def monotonic(self, wall: float, since: float = float("-inf")) -> float:
        """Return the monotonic time of a wall-clock time, which the kernel noted in Unix seconds.

        The result is neither in the future nor before `since`. If the wall clock was set recently,
        `wall` may be from before or after the change. Then the later possible time is returned.
        """
        now = self.now()
        at = wall - self._offset
        before_step = wall - self._former_offset
        if before_step <= self._stepped_at and (at > now + _SLACK_S or at < before_step):
            at = before_step
        return min(max(at, since), now)


def stamp_arrivals(sock: socket.socket) -> None:
    """Make the kernel note arrivals at `sock` and count drops; raise OSError if it cannot."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)


def receive(sock: socket.socket, clock: ArrivalClock, since: float) -> Datagram | None:
    """Read one datagram from a non-blocking socket; return None if none could be read.

    Call `stamp_arrivals` for `sock` first. The caller can overwrite the datagram after use: no
    other copy is in memory. Errors that the system reports for datagrams sent earlier are skipped.
    `since` is the earliest possible arrival, as in `ArrivalClock.monotonic`.
    """
    for _ in range(_MOST_ERRORS):
        try:
            length, ancillary, _, source = sock.recvmsg_into([_scratch], _ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # an ICMP error for a datagram that was sent earlier
            continue
        arrived, dropped = None, 0
        for _, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                arrived = clock.monotonic(seconds + nanoseconds / 1e9, since)
            elif kind == _SO_RXQ_OVFL and len(value) == _COUNT.size:
                (dropped,) = _COUNT.unpack(value)
        if arrived is None:  # it arrived before the kernel was asked to note arrivals
            arrived = clock.now()
        data = _scratch[:length]
        _scratch[:length] = bytes(length)
        return Datagram(data, (source[0], source[1]), arrived, dropped)
    return None


def dropped_at(sock: socket.socket) -> int:
    """Return how many datagrams the kernel has dropped at `sock`; 0 if it cannot say."""
    try:
        value = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(value)[8]) if len(value) == _MEMINFO.size else 0


class SupportsFileno(Protocol):
    """A socket, or any object with its file descriptor."""

    def fileno(self) -> int:
        """Return the file descriptor."""


def latest_arrival(sock: SupportsFileno, clock: ArrivalClock) -> float:
    """Return the arrival of the datagram read last from `sock`, in monotonic seconds.

    If it is unknown, return the present time. Use this for a socket that other code, such as the
    event loop, reads. Call it once when the socket is opened: the kernel begins to note arrivals
    with the first call.
    """
    value = bytearray(_TIMESPEC.size)
    try:
        fcntl.ioctl(sock.fileno(), _SIOCGSTAMPNS, value)
    except OSError:
        return clock.now()
    seconds, nanoseconds = _TIMESPEC.unpack(value)
    return clock.monotonic(seconds + nanoseconds / 1e9)


class SupportsOptions(Protocol):
    """A socket, or any object with its options."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """Return the value of a socket option."""


def latest_data_arrival(sock: SupportsOptions, now: float) -> float:
    """Return when the latest data of a TCP connection arrived, in monotonic seconds.

    `now` is the present time, and the result if the kernel knows no time. The kernel's clock for
    TCP is coarse: the result can be up to 22 ms too early. Data of the last 22 ms may get `now`.
    """
    segment = _latest_segment(sock)
    return now if segment is None else segment.arrival(now)


class _Segment(NamedTuple):
    """The latest data of a TCP connection, as the kernel knows it."""

    ago_s: float
    number: int
    """Segments with data that have arrived until now."""

    def arrival(self, now: float) -> float:
        return now if self.ago_s <= _TICK_S else now - self.ago_s - _TICK_S


def _latest_segment(sock: SupportsOptions) -> _Segment | None:
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < _DATA_SEGMENTS + 4:
        return None
    (ago_ms,) = struct.unpack_from("=I", info, _LAST_DATA_RECEIVED)
    (number,) = struct.unpack_from("=I", info, _DATA_SEGMENTS)
    return _Segment(ago_ms / 1000, number)


class StreamArrivals:
    """Determines when TCP data arrived. The kernel knows only the arrival of the latest segment."""

    def __init__(self, sock: SupportsOptions) -> None:
        self._sock = sock
        self._segments = 0
        self.latest(0.0, 0.0)

    def latest(self, now: float, idle_at: float) -> float:
        """Return the arrival of the data that was just read, in monotonic seconds.

        If one segment has arrived since the previous call, the result is as exact as that of
        `latest_data_arrival`. If several have, it is `idle_at`, a time at which nothing waited to
        be read. If the kernel knows no time, it is `now`, the present time.
        """
        segment = _latest_segment(self._sock)
        if segment is None:
            return now
        several = segment.number - self._segments > 1
        self._segments = segment.number
        return min(now, idle_at) if several else segment.arrival(now)
