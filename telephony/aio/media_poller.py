"""The poller of all media sockets: for each packet, it calls the reader of the packet's socket.

All sockets are in one epoll set, which the event loop watches. This takes less processor time than
an asyncio transport for each socket (`benchmarks/media.py`). With many calls, each wake-up would
read only one or two packets. So after two wake-ups within 2 ms, the poller polls every 2 ms until a
poll finds no packet.

If polls are on time and a socket had no packet in the previous poll, its packet has arrived since.
The time of the poll counts as its arrival. Any other packet may have waited, for example while the
process was stopped. The kernel then gives the arrival (`arrival.py`), and the waiting packets of
all sockets are handled in the order of arrival (`media_backlog.py`).

The poller reads only after the event loop has read all SIP messages that have arrived: a phone
sends its answer before its first packet, so the answer is handled first. If the messages take long,
`keep_up` reads packets between two messages.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable, Iterator

from telephony.aio.arrival import ArrivalClock, stamp_arrivals, wall_clock
from telephony.aio.media_backlog import LATE_S, MediaBacklog, Reader

_BATCH = 64
"""The most sockets that one poll reads. At 10 µs for each socket, other work waits under 1 ms."""
_LATE_BATCH = 256
"""The most sockets that one poll reads if packets are late."""
_POLL_S = 0.002
"""The seconds between two polls. Two wake-ups within this time start polling."""

HELD_S = 5.0
"""Held packets older than this, in seconds, are dropped: such old sound is of no use."""


class MediaPoller:
    """The media sockets of a process and their readers. Use it in one event loop only."""

    def __init__(
        self,
        clock: Callable[[], float],
        wall: Callable[[], float] = wall_clock,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the poller. `clock` returns monotonic seconds, `wall` Unix seconds.

        `on_idle` is called each time when the poller has handled all packets.
        """
        self._on_idle = on_idle
        self._clock = ArrivalClock(clock, wall)
        self._readers: dict[int, Reader] = {}
        self._first_readers: dict[int, Reader] = {}
        self._backlog = MediaBacklog(self._readers, self._clock)
        self._poll: select.epoll | None = None
        self._served_at = self._clock.now()
        self._served: set[int] = set()
        """The file descriptors of the sockets that the previous poll read."""
        self._is_busy = False
        """True while packets are handled. `keep_up` then does nothing."""
        self._served_all = False
        """True if the previous poll read from every socket that had a packet."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_woken = False
        self._is_polling = False
        """True while the poller polls. No wake-up is needed then, and none is possible."""

    def watch(self, sock: socket.socket, reader: Reader, *, hold: bool = False) -> None:
        """Give the socket's packets to `reader`. If `hold` is true, they wait until `release`.

        Raises `OSError` if the socket cannot be watched.
        """
        stamp_arrivals(sock)
        if self._poll is None:
            self._poll = select.epoll()
            self._wake_up(self._poll)
        self._poll.register(sock, 0 if hold else select.EPOLLIN)
        self._readers[sock.fileno()] = self._first_readers[sock.fileno()] = reader
        self._backlog.add(sock)

    def release(self, sock: socket.socket) -> None:
        """Stop holding a socket's packets, and drop those that waited for longer than `HELD_S`."""
        if self._poll is not None:
            self._backlog.discard((sock,), self._clock.now() - HELD_S)
            self._poll.modify(sock, select.EPOLLIN)
            self._serve_backlog()

    def set_reader(self, sock: socket.socket, reader: Reader) -> None:
        """Use `reader` to handle the packets of a watched socket, until `reset_reader`."""
        self._readers[sock.fileno()] = reader

    def reset_reader(self, sock: socket.socket) -> None:
        """Use the reader of `watch` again to handle the packets of a watched socket."""
        number = sock.fileno()
        self._readers[number] = self._first_readers[number]

    def forget(self, sock: socket.socket) -> None:
        """Remove a socket. Call this before the socket is closed."""
        self._readers.pop(sock.fileno(), None)
        self._first_readers.pop(sock.fileno(), None)
        self._backlog.remove(sock)
        if self._poll is not None:
            with contextlib.suppress(OSError):  # the socket was never watched
                self._poll.unregister(sock)

    def keep_up(self) -> None:
        """Read the sockets if they were not read for `LATE_S`. Call this between messages."""
        if self._poll is None or self._is_busy:
            return
        now = self._clock.now()
        if now - self._served_at > LATE_S:
            self._serve(self._poll, now)
            self._serve_backlog()

    @property
    def waiting_s(self) -> float:
        """The seconds for which the oldest unhandled packet has waited; 0 if none waits."""
        return self._backlog.waiting_s(self._clock.now())

    def drain(self, *sockets: socket.socket) -> None:
        """Handle all packets that have already arrived at these sockets, in order of arrival."""
        with self._handling():
            self._backlog.drain(sockets, self._clock.now())
        self._serve_backlog()

    @contextlib.contextmanager
    def _handling(self) -> Iterator[None]:
        was_busy, self._is_busy = self._is_busy, True
        try:
            yield
        finally:
            self._is_busy = was_busy

    def discard(self, *sockets: socket.socket) -> None:
        """Drop all packets that have already arrived at these sockets."""
        self._backlog.discard(sockets, self._clock.now())
        self._serve_backlog()

    def _serve_backlog(self) -> None:
        """Schedule the packets in the backlog. Epoll does not report what is already read."""
        if self._backlog and self._poll is not None and not self._is_polling:
            self._ready()

    def close(self) -> None:
        """Stop reading and leave the event loop. A later `watch` starts the poller again."""
        if self._timer is not None:
            self._timer.cancel()
        self._is_polling = False
        if self._poll is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    def _wake_up(self, poll: select.epoll) -> None:
        asyncio.get_running_loop().add_reader(poll.fileno(), self._ready)

    def _ready(self) -> None:
        """Read the ready sockets, after the SIP sockets that the event loop has found ready."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._serve_woken)

    def _serve_woken(self) -> None:
        """Read the ready sockets, and poll from now on.

        Wait for wake-ups instead if the previous `_serve` was at least `_POLL_S` ago and no packet
        waits.
        """
        self._is_woken = False
        if self._poll is None or self._is_polling:
            return
        before, now = self._served_at, self._clock.now()
        try:
            self._serve(self._poll, now)
        finally:  # even if a reader raises an error, other packets may wait
            if now - before < _POLL_S or self._backlog:
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._poll.fileno())
                pause = 0.0 if self._backlog.is_late(now) else _POLL_S
                self._is_polling = True
                self._timer = loop.call_later(pause, self._poll_again)
            else:
                self._on_idle()

    def _poll_again(self) -> None:
        """Call `_poll_now` after the event loop has looked for SIP messages once more.

        uvloop runs the first `call_soon` callback before it looks, and the second one afterwards.
        """
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._poll_now)

    def _poll_now(self) -> None:
        if self._poll is None:
            return
        count, now = 1, self._clock.now()
        try:
            count = self._serve(self._poll, now)
        finally:  # even if the reader of one socket raises an error, other sockets need a poll
            if count or self._backlog:
                pause = 0.0 if count >= _BATCH or self._backlog.is_late(now) else _POLL_S
                self._timer = asyncio.get_running_loop().call_later(pause, self._poll_again)
            else:
                self._is_polling = False
                self._on_idle()
                self._wake_up(self._poll)

    def _serve(self, poll: select.epoll, now: float) -> int:
        """Read packets from at most `_BATCH` ready sockets; return the number of ready sockets.

        The limit is `_LATE_BATCH` if packets are late. Packets that may have waited go through the
        backlog.
        """
        with self._handling():
            return self._serve_sockets(poll, now)

    def _serve_sockets(self, poll: select.epoll, now: float) -> int:
        punctual = now - self._served_at < LATE_S and not self._backlog
        most = _BATCH if punctual else _LATE_BATCH
        found = poll.poll(0, most)
        regular = punctual and self._served_all
        served, readers = self._served, self._readers
        if not self._backlog:
            self._backlog.since = self._served_at - LATE_S
        self._served_at = now
        self._served = {number for number, _ in found}
        self._served_all = len(found) < most
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
            self._backlog.work(waited, now)
        return len(found)
