"""Accepts connections for the desk's HTTP server, and gives each one its place.

uvicorn's own listener accepts until no file descriptor is left, and performs the TLS handshake
first. If a connection gets no place, the `Acceptor` closes it at once. This takes a few
microseconds and no memory. The `Acceptor` rests after each batch for as long as the batch took, so
that a flood leaves time for other work. If it refuses too many connections, it lets the kernel drop
most of them (`net.packet_filter`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
import struct
import time
from collections.abc import Callable

import structlog

from galwad.host.connections.places import Place, Places
from net.addresses import network_of
from net.packet_filter import MOST_KNOWN, Networks, Thinning, ThinningLimits, attach_filter
from telephony.aio.turns import WorkTimer

BACKLOG = 4096
RESERVED_FILES = 256
"""The file descriptors for the database, the links, the archive and the logs, which no connection
may take.
"""
_FEWEST_CONNECTIONS = 64
_LOOKED_AT_ONCE = 64
_ADMITTED_AT_ONCE = 4
"""The most connections that get a place before the event loop does other work.

It is small, because a new connection costs much more time than a refused one, and open connections
must get their answers soon.
"""
_HANDSHAKE_S = 8.0
_FAREWELL_S = 5.0
_NO_FILES_S = 0.1
_THINNING = ThinningLimits(stranger=1000, known=10_000, strangers=1000, few=250)
"""The numbers of refused connections in a second at which the kernel begins to drop new ones."""
_SWEEP_S = 1.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: `close` sends a reset, and the kernel keeps nothing."""

ProtocolFactory = Callable[[Place], asyncio.Protocol]
log = structlog.get_logger()


def connection_limit(wanted: int) -> int:
    """Return how many connections the desk may have, at most `wanted`.

    First raise the limit of open files as far as needed, if this is permitted. A third of the files
    beyond `RESERVED_FILES` is for files that are sent to clients.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = RESERVED_FILES + wanted * 3 // 2
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):  # a unit may forbid the system call
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    possible = max((soft - RESERVED_FILES) * 2 // 3, _FEWEST_CONNECTIONS)
    log.warning("connections.few_files", files=soft, connections=possible, wanted=wanted)
    return possible


class Acceptor:
    """Accepts connections. A connection that gets a place also gets a protocol from `make`."""

    def __init__(
        self,
        listener: socket.socket,
        places: Places,
        make: ProtocolFactory,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._places = places
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.Handle | None = None
        self._thinning = Thinning(
            _THINNING,
            known=lambda now: places.known_networks(now, MOST_KNOWN),
            set_filter=self._set_filter,
        )
        self._sweeping: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept connections."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._accept_again()
        self._sweep()

    def close(self) -> None:
        """Accept no more connections, and close the listener."""
        for timer in (self._again, self._sweeping):
            if timer is not None:
                timer.cancel()
        if self._listener.fileno() != -1:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def wait_closed(self) -> None:
        """Cancel the handshakes that have not finished, and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        """Accept a batch; then rest for as long as it took, or for `_NO_FILES_S` if it failed."""
        timer, failed = WorkTimer(), False
        self._loop.remove_reader(self._listener.fileno())
        try:
            self._accept_batch()
        except OSError as error:
            failed = True
            reason = errno.errorcode.get(error.errno or 0, "")
            log.error("connections.cannot_accept", reason=reason)  # noqa: TRY400 - the system's limit
        finally:
            if failed:
                self._again = self._loop.call_later(_NO_FILES_S, self._accept_again)
            else:
                # The loop makes this call after it has begun to connect the batch.
                self._again = self._loop.call_soon(self._rest, timer)

    def _rest(self, timer: WorkTimer) -> None:
        self._again = self._loop.call_later(timer.seconds, self._accept_again)

    def _accept_again(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept_batch(self) -> None:
        """Accept a batch of connections, or raise OSError if no descriptor or memory is left."""
        admitted = 0
        for _ in range(_LOOKED_AT_ONCE):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            admitted += self._receive(accepted, str(address[0]))
            if admitted == _ADMITTED_AT_ONCE:
                return

    def _receive(self, accepted: socket.socket, address: str) -> bool:
        """Give a connection a place; if there is none, close it. Return whether it has a place."""
        connection = _Accepted(accepted)
        network, now = network_of(address), time.monotonic()
        try:
            place = self._places.arrive(network, now, connection.close)
        except BaseException:
            connection.reset()
            raise
        if place is None:
            connection.reset()
            self._thinning.count_stranger(network, now)
            return False
        task = self._loop.create_task(self._connect(connection, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _connect(self, connection: _Accepted, place: Place) -> None:
        limits = (
            {} if self._tls is None
            else {"ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _FAREWELL_S}
        )  # fmt: skip
        try:
            connection.transport, _ = await self._loop.connect_accepted_socket(
                lambda: self._make(place), connection.socket, ssl=self._tls, **limits
            )
        except (OSError, asyncio.CancelledError):
            # A client that fails or gives up its handshake is no fault of the desk.
            self._places.leave(place)
            connection.socket.close()
        if place.left and connection.transport is not None:
            connection.transport.abort()

    def _sweep(self) -> None:
        self._thinning.sweep(time.monotonic())
        self._sweeping = self._loop.call_later(_SWEEP_S, self._sweep)

    def _set_filter(self, flooding: Networks, known: Networks | None) -> None:
        with contextlib.suppress(OSError):  # without the filter, each connection is refused here
            attach_filter(self._listener, flooding, known)


class _Accepted:
    """An accepted connection, which can be closed at any time, even during its handshake."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self.socket = accepted
        self.transport: asyncio.Transport | None = None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        else:
            # The event loop uses the socket. It sees the end, and then releases the descriptor.
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()
