"""The poller of all media sockets: for each packet, it calls the reader of the packet's socket.

All sockets are in one epoll set, which the event loop watches. When a packet arrives, the event
loop wakes up the poller, which reads one packet from each socket that has one. This takes less
processor time than one asyncio transport for each socket (`benchmarks/media.py`). With many calls,
the poller would wake up for every one or two packets. Therefore, after two wake-ups within 2 ms,
the poller does not wait for wake-ups but polls every 2 ms, until a poll finds no packet. Listeners
and jitter buffers do not notice a delay of 2 ms.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable

Reader = Callable[[float], None]
"""A function that reads and handles one datagram from its socket.

The argument of the function is the current time in monotonic seconds.
"""

MOST_QUEUED = 256
"""The largest number of packets that one call of `drain` reads from its socket.

One leg's peer sends about this many packets in five seconds. Reading them takes 2.5 ms.
"""
_BATCH = 64
"""The largest number of sockets that are read in one poll.

One packet is read from each socket. Reading a packet takes 10 µs, so a poll delays other work of
the event loop by at most 0.7 ms.
"""
_POLL_S = 0.002
"""The time in seconds between two polls.

The poller begins to poll if two wake-ups of the event loop are less than `_POLL_S` apart.
"""


class MediaPoller:
    """The media sockets of a process and their readers. Use it in one event loop only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Prepare the poller. `clock` returns the time in monotonic seconds."""
        self._clock = clock
        self._readers: dict[int, Reader] = {}
        self._poll: select.epoll | None = None
        self._served_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, sock: socket.socket) -> None:
        """Add a socket to those that the poller reads.

        Raises:
            OSError: The system cannot watch one more socket.
        """
        if self._poll is None:
            self._poll = select.epoll()
            self._wake_up(self._poll)
        self._poll.register(sock, select.EPOLLIN)

    def set_reader(self, sock: socket.socket, reader: Reader) -> None:
        """Use `reader` from now on to handle the packets of the socket."""
        self._readers[sock.fileno()] = reader

    def forget(self, sock: socket.socket) -> None:
        """Remove a socket from the poller. Call this before the socket is closed."""
        self._readers.pop(sock.fileno(), None)
        if self._poll is not None:
            with contextlib.suppress(OSError):  # the socket was never watched
                self._poll.unregister(sock)

    def drain(self, sock: socket.socket, now: float) -> None:
        """Handle the packets that have already arrived at a socket, at most `MOST_QUEUED`.

        `now` is the current time in monotonic seconds.
        """
        number = sock.fileno()
        poll = select.poll()
        poll.register(number, select.POLLIN)
        for _ in range(MOST_QUEUED):
            reader = self._readers.get(number)
            if reader is None or not poll.poll(0):
                return
            reader(now)

    def close(self) -> None:
        """Stop reading, and remove the poller from the event loop.

        A later call of `watch` starts the poller again.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self._poll is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    def _wake_up(self, poll: select.epoll) -> None:
        asyncio.get_running_loop().add_reader(poll.fileno(), self._ready)

    def _ready(self) -> None:
        """Read the sockets at which packets have arrived. The event loop calls this at a wake-up.

        If the previous call of `_serve` was less than `_POLL_S` seconds ago, stop waiting for
        wake-ups and start to poll.
        """
        if self._poll is None:
            return
        before, now = self._served_at, self._clock()
        self._serve(self._poll, now)
        if now - before < _POLL_S:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._poll.fileno())
            self._timer = loop.call_later(_POLL_S, self._poll_again)

    def _poll_again(self) -> None:
        """Read the packets that have arrived since the previous poll.

        If none have arrived, stop polling and wait for a wake-up of the event loop.
        """
        if self._poll is None:
            return
        count = 1
        try:
            count = self._serve(self._poll, self._clock())
        finally:  # even if the reader of one socket raises an error, other sockets need a poll
            if count:
                pause = 0.0 if count == _BATCH else _POLL_S
                self._timer = asyncio.get_running_loop().call_later(pause, self._poll_again)
            else:
                self._wake_up(self._poll)

    def _serve(self, poll: select.epoll, now: float) -> int:
        """Read one packet from each socket at which packets have arrived, at most `_BATCH` sockets.

        Return the number of sockets that were read. Only one packet of each socket is read, so that
        a busy socket does not delay other sockets.
        """
        self._served_at = now
        readers = self._readers
        found = poll.poll(0, _BATCH)
        for number, _ in found:
            reader = readers.get(number)
            if reader is not None:  # another socket's reader may have removed this socket
                reader(now)
        return len(found)
