"""The poller of all media sockets: for each packet, it calls the reader of the packet's socket.

All sockets are in one epoll set, which the event loop watches. When a packet arrives, the event
loop wakes up the poller, which reads one packet from each socket that has one. This takes less
processor time than one asyncio transport for each socket (`benchmarks/media.py`). With many calls,
the poller would wake up for every one or two packets. Therefore, after two wake-ups within 2 ms,
the poller does not wait for wake-ups but polls every 2 ms, until a poll finds no packet. Listeners
and jitter buffers do not notice a delay of 2 ms.

A packet that is read in a regular poll has arrived since the previous poll, so the time of the poll
is its arrival. Any other packet may have waited in its socket, for example while the process was
stopped. For these packets, the kernel is asked for the arrival (`arrival.py`). They are handled in
the order of their arrival, whatever their socket (`media_backlog.py`).
"""

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Callable

from telephony.aio.arrival import ArrivalClock, stamp_arrivals
from telephony.aio.media_backlog import MediaBacklog, Reader

_BATCH = 64
"""The largest number of sockets that are read in one poll.

One packet is read from each socket. Reading a packet takes 10 µs, so a poll delays other work of
the event loop by at most 0.7 ms.
"""
_POLL_S = 0.002
"""The time in seconds between two polls.

The poller begins to poll if two wake-ups of the event loop are less than `_POLL_S` apart.
"""
_TIMELY_S = 0.010
"""A poll is regular if the previous one was less than this time ago, in seconds."""


class MediaPoller:
    """The media sockets of a process and their readers. Use it in one event loop only."""

    def __init__(
        self,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the poller.

        `clock` returns the time in monotonic seconds, and `wall` the time in Unix seconds.
        `on_idle` is called each time when the poller has handled all packets.
        """
        self._on_idle = on_idle
        self._clock = ArrivalClock(clock, wall)
        self._readers: dict[int, Reader] = {}
        self._backlog = MediaBacklog(self._readers, self._clock)
        self._poll: select.epoll | None = None
        self._served_at = self._clock.now()
        self._served: set[int] = set()
        """The file descriptors of the sockets that the previous poll read."""
        self._served_all = False
        """True if the previous poll read from every socket that had a packet."""
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, sock: socket.socket, reader: Reader) -> None:
        """Read the packets of the socket from now on, and give them to `reader`.

        Raises:
            OSError: The system cannot watch one more socket, or cannot note arrivals.
        """
        stamp_arrivals(sock)
        if self._poll is None:
            self._poll = select.epoll()
            self._wake_up(self._poll)
        self._poll.register(sock, select.EPOLLIN)
        self._readers[sock.fileno()] = reader
        self._backlog.add(sock)

    def set_reader(self, sock: socket.socket, reader: Reader) -> None:
        """Use `reader` from now on to handle the packets of a watched socket."""
        self._readers[sock.fileno()] = reader

    def forget(self, sock: socket.socket) -> None:
        """Remove a socket from the poller. Call this before the socket is closed."""
        self._readers.pop(sock.fileno(), None)
        self._backlog.remove(sock)
        if self._poll is not None:
            with contextlib.suppress(OSError):  # the socket was never watched
                self._poll.unregister(sock)

    def drain(self, *sockets: socket.socket) -> None:
        """Handle all packets that have already arrived at these sockets, in order of arrival."""
        self._backlog.drain(sockets, self._clock.now())

    def discard(self, *sockets: socket.socket) -> None:
        """Drop all packets that have already arrived at these sockets."""
        self._backlog.discard(sockets, self._clock.now())

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

        If the previous call of `_serve` was less than `_POLL_S` seconds ago, or if packets still
        wait, stop waiting for wake-ups and start to poll.
        """
        if self._poll is None:
            return
        before, now = self._served_at, self._clock.now()
        try:
            self._serve(self._poll, now)
        finally:  # even if a reader raises an error, other packets may wait
            if now - before < _POLL_S or self._backlog:
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._poll.fileno())
                pause = 0.0 if self._backlog else _POLL_S
                self._timer = loop.call_later(pause, self._poll_again)

    def _poll_again(self) -> None:
        """Read the packets that have arrived since the previous poll.

        If none have arrived, stop polling and wait for a wake-up of the event loop.
        """
        if self._poll is None:
            return
        count = 1
        try:
            count = self._serve(self._poll, self._clock.now())
        finally:  # even if the reader of one socket raises an error, other sockets need a poll
            if count or self._backlog:
                pause = 0.0 if count == _BATCH or self._backlog else _POLL_S
                self._timer = asyncio.get_running_loop().call_later(pause, self._poll_again)
            else:
                self._on_idle()
                self._wake_up(self._poll)

    def _serve(self, poll: select.epoll, now: float) -> int:
        """Read one packet from each socket at which packets have arrived, at most `_BATCH` sockets.

        Return the number of sockets that were read. Only one packet of each socket is read, so that
        a busy socket does not delay other sockets. Packets that may have waited go through the
        backlog.
        """
        found = poll.poll(0, _BATCH)
        regular = now - self._served_at < _TIMELY_S and self._served_all and not self._backlog
        served, readers = self._served, self._readers
        if not self._backlog:
            self._backlog.since = self._served_at - _TIMELY_S
        self._served_at = now
        self._served = {number for number, _ in found}
        self._served_all = len(found) < _BATCH
        waited = []
        for number, _ in found:
            reader = readers.get(number)
            if reader is None:  # another socket's reader may have removed this socket
                continue
            if regular and number not in served:
                reader.read(now)
            else:
                waited.append(number)
        if waited or self._backlog:
            self._backlog.work(waited)
        return len(found)
