"""Media packets that waited in their sockets, and are handled in the order of their arrival.

If the process is late, each socket has a queue. The packets of both parties must reach the recorder
in the order of their arrival. Packets that arrived before a payment pause must be handled before
the pause. So the first packet of each queue is read, and the earliest is handled.
"""

from __future__ import annotations

import heapq
import itertools
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from telephony.aio.arrival import ArrivalClock, Datagram, dropped_at, receive

MOST_AT_ONCE: Final = 256
"""The most packets that one call of `work` handles. They take about 3 ms."""
LATE_S: Final = 0.010
"""A packet is late if it has waited for longer than this, in seconds."""
_COUNT_MASK: Final = 0xFFFFFFFF


class Reader(Protocol):
    """Handles the packets of one socket."""

    def read(self, now: float) -> None:
        """Read one datagram, which arrived at `now` in monotonic seconds, and handle it."""

    def handle(self, data: bytearray | memoryview, source: tuple[str, int], arrived: float) -> None:
        """Handle a datagram. `arrived` is in monotonic seconds; `data` is overwritten later."""

    def lost(self, count: int, since: float, until: float) -> None:
        """Handle the kernel's loss of `count` datagrams between two times, in monotonic seconds."""


@dataclass(slots=True, eq=False)
class _Queue:
    """A reader's socket, and the first packet of its queue, which is already read."""

    sock: socket.socket
    dropped: int
    """Packets that the kernel had dropped here when it was last asked."""
    first: Datagram | None = None
    serial: int = 0
    """The number under which `first` is in the heap."""


class MediaBacklog:
    """The queues of all media sockets. `bool(self)` is True while a packet that was read waits.

    A socket's next packet is read only after `_Queue.first` was taken. So at most one waiting
    packet of each socket is in this process's memory.
    """

    def __init__(self, readers: dict[int, Reader], clock: ArrivalClock) -> None:
        """Start without sockets. `readers` has the present reader of each socket, by descriptor."""
        self.since = clock.now()
        """No unhandled packet arrived before this time, in monotonic seconds."""
        self._readers = readers
        self._clock = clock
        self._queues: dict[int, _Queue] = {}
        self._heap: list[tuple[float, int, int]] = []
        self._serials = itertools.count(1)
        self._waiting = 0
        self._unchecked: set[int] = set()
        """The sockets with a packet that was handled after the latest call of `dropped_at`."""

    def __bool__(self) -> bool:
        return self._waiting > 0

    def add(self, sock: socket.socket) -> None:
        """Add a socket."""
        self._queues[sock.fileno()] = _Queue(sock, dropped_at(sock))

    def remove(self, sock: socket.socket) -> None:
        """Remove a socket, whose packets are then not handled."""
        queue = self._queues.pop(sock.fileno(), None)
        if queue is not None:
            self._drop_first(queue)

    def work(self, numbers: Iterable[int], now: float) -> None:
        """Handle at most `MOST_AT_ONCE` waiting packets, in the order of their arrival.

        `numbers` are the descriptors at which packets wait. Sockets with a packet in `_Queue.first`
        need not be in it. A packet that arrives after `now` (monotonic seconds) waits for the next
        call: an unread SIP message, such as the answer of the packet's sender, may have arrived
        before it.

        The kernel is asked for losses only when no packet waits. Otherwise, a loss could be
        reported before an earlier packet of another socket is handled.
        """
        for number in numbers:
            queue = self._queues.get(number)
            if queue is not None and queue.first is None:
                self._read(number, queue)
        for _ in range(MOST_AT_ONCE):
            earliest = self._earliest()
            if earliest is None:
                self._check_lost(tuple(self._unchecked))
                return
            if self._heap[0][0] > now:
                return
            self._handle_first(earliest)

    def is_late(self, now: float) -> bool:
        """Return whether a packet has waited for longer than `LATE_S` at the time `now`."""
        return self.waiting_s(now) > LATE_S

    def waiting_s(self, now: float) -> float:
        """Return the seconds for which the oldest packet has waited; 0 if none waits."""
        return 0.0 if self._earliest() is None else max(0.0, now - self._heap[0][0])

    def drain(self, sockets: Iterable[socket.socket], now: float) -> None:
        """Handle all packets of these sockets that arrived until `now`, and report losses."""
        numbers = [sock.fileno() for sock in sockets]
        waiting: list[tuple[float, int, int]] = []
        for number in numbers:
            queue = self._queues.get(number)
            if queue is not None:
                if queue.first is None:
                    self._read(number, queue)
                self._expect(number, queue, waiting)
        while waiting and waiting[0][0] <= now:
            _, serial, number = heapq.heappop(waiting)
            queue = self._queues.get(number)
            if queue is None:
                continue
            if queue.first is not None and queue.serial == serial:
                self._handle_first(number)
            # A reader may have drained this queue, and a new first packet may be there.
            self._expect(number, queue, waiting)
        self._check_lost(numbers)

    @staticmethod
    def _expect(number: int, queue: _Queue, waiting: list[tuple[float, int, int]]) -> None:
        if queue.first is not None:
            heapq.heappush(waiting, (queue.first.arrived, queue.serial, number))

    def discard(self, sockets: Iterable[socket.socket], now: float) -> None:
        """Drop all packets of these sockets that arrived until `now`."""
        for sock in sockets:
            queue = self._queues.get(sock.fileno())
            if queue is None:
                continue
            if queue.first is None:
                self._read(sock.fileno(), queue)
            while queue.first is not None and queue.first.arrived <= now:
                queue.dropped = queue.first.dropped
                self._drop_first(queue)
                self._read(sock.fileno(), queue)

    def _earliest(self) -> int | None:
        while self._heap:
            _, serial, number = self._heap[0]
            queue = self._queues.get(number)
            if queue is not None and queue.first is not None and queue.serial == serial:
                return number
            heapq.heappop(self._heap)  # this packet was handled or dropped in the meantime
        return None

    def _read(self, number: int, queue: _Queue) -> None:
        """Read the next packet of a queue, if there is one, after its `first` was taken."""
        queue.first = receive(queue.sock, self._clock, self.since)
        if queue.first is not None:
            self._waiting += 1
            queue.serial = next(self._serials)
            heapq.heappush(self._heap, (queue.first.arrived, queue.serial, number))

    def _take_first(self, queue: _Queue) -> Datagram | None:
        first, queue.first = queue.first, None
        if first is not None:
            self._waiting -= 1
        return first

    def _drop_first(self, queue: _Queue) -> None:
        first = self._take_first(queue)
        if first is not None:
            first.data[:] = bytes(len(first.data))

    def _handle_first(self, number: int) -> None:
        """Read the next packet, then handle the first one, whose reader may drain this queue."""
        queue = self._queues[number]
        first = self._take_first(queue)
        if first is None:
            return
        self._read(number, queue)
        if first.dropped != queue.dropped:
            self._report_lost(number, queue, first.dropped, first.arrived)
        reader = self._readers.get(number)
        if reader is not None:
            try:
                reader.handle(first.data, first.source, first.arrived)
            finally:
                first.data[:] = bytes(len(first.data))
        self._unchecked.add(number)

    def _check_lost(self, numbers: Iterable[int]) -> None:
        """Ask the kernel whether it dropped packets after the last packet of each socket.

        If a queue has a packet again, this packet itself shows what was dropped before it.
        """
        for number in numbers:
            self._unchecked.discard(number)
            queue = self._queues.get(number)
            if queue is None or queue.first is not None:
                continue
            dropped = dropped_at(queue.sock)
            if dropped == queue.dropped:
                continue
            self._read(number, queue)
            if queue.first is None:
                self._report_lost(number, queue, dropped, self._clock.now())

    def _report_lost(self, number: int, queue: _Queue, dropped: int, until: float) -> None:
        count = (dropped - queue.dropped) & _COUNT_MASK
        reader = self._readers.get(number)
        if 0 < count <= _COUNT_MASK // 2:
            queue.dropped = dropped
            if reader is not None:
                reader.lost(count, self.since, until)
