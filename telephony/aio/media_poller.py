"""Reads media sockets when packets arrive, and hands each packet to the socket's reader.

All sockets are in one epoll set, which the event loop watches. One wake-up then serves every packet
that has arrived, which costs less than one asyncio transport for each socket
(`benchmarks/media.py`). Under load this would still mean a wake-up for every packet or two. The
poller therefore changes to polling every 2 ms, a delay that neither a listener nor a jitter buffer
notices.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable

Reader = Callable[[float], None]
"""Reads and handles one datagram from its socket; the argument is now, in monotonic seconds."""

MOST_QUEUED = 256
"""The most queued packets read from one socket: five seconds of speech, in 2.5 ms."""
_BATCH = 64
"""The most sockets served in one poll. At 10 µs for each packet, other work waits up to 0.7 ms."""
_POLL_S = 0.002
"""Seconds between two polls while packets come more often than this."""


class MediaPoller:
    """The media sockets of a process and their readers. Belongs to one running event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Prepare to read; `clock` returns monotonic seconds."""
        self._clock = clock
        self._readers: dict[int, Reader] = {}
        self._poll: select.epoll | None = None
        self._served_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, sock: socket.socket) -> None:
        """Add a socket.

        Raises:
            OSError: The system accepts no further socket.
        """
        if self._poll is None:
            self._poll = select.epoll()
            self._wake_up(self._poll)
        self._poll.register(sock, select.EPOLLIN)

    def set_reader(self, sock: socket.socket, reader: Reader) -> None:
        """Let `reader` handle the socket's packets from now on."""
        self._readers[sock.fileno()] = reader

    def forget(self, sock: socket.socket) -> None:
        """Remove a socket, before the caller closes it."""
        self._readers.pop(sock.fileno(), None)
        if self._poll is not None:
            with contextlib.suppress(OSError):  # it was never watched
                self._poll.unregister(sock)

    def drain(self, sock: socket.socket, now: float) -> None:
        """Handle the packets that have already arrived at a socket, at most `MOST_QUEUED`."""
        number = sock.fileno()
        poll = select.poll()
        poll.register(number, select.POLLIN)
        for _ in range(MOST_QUEUED):
            reader = self._readers.get(number)
            if reader is None or not poll.poll(0):
                return
            reader(now)

    def close(self) -> None:
        """Leave the event loop; a later `watch` enters it again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._poll is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    def _wake_up(self, poll: select.epoll) -> None:
        asyncio.get_running_loop().add_reader(poll.fileno(), self._ready)

    def _ready(self) -> None:
        """Serve the ready sockets.

        If the last time was less than `_POLL_S` ago, stop watching epoll and poll instead.
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
        """Serve the packets that came since the last poll; if none came, watch epoll again."""
        if self._poll is None:
            return
        count = 1
        try:
            count = self._serve(self._poll, self._clock())
        finally:  # an exception from one leg's tap must not stop the other legs' media
            if count:
                pause = 0.0 if count == _BATCH else _POLL_S
                self._timer = asyncio.get_running_loop().call_later(pause, self._poll_again)
            else:
                self._wake_up(self._poll)

    def _serve(self, poll: select.epoll, now: float) -> int:
        """Read one packet from each ready socket, so that all get their turn; return how many."""
        self._served_at = now
        readers = self._readers
        found = poll.poll(0, _BATCH)
        for number, _ in found:
            reader = readers.get(number)
            if reader is not None:  # a callback may have closed the leg meanwhile
                reader(now)
        return len(found)
