"""Limits on the time for which SIP messages keep media and timers of the event loop waiting.

Datagrams: the event loop reads up to 32 datagrams before it does anything else. If each began a
call, the media packets of all calls would wait for a tenth of a second. So datagrams are handled
for at most `TURN_S` in one turn of the event loop: first the urgent datagrams, then all
others, both in the order of arrival.

Connections: together they get at most `SHARE` of the time. After `SLICE_S` at most, they rest. A
connection with unhandled data reads no more, so TCP slows its sender down. The IP addresses take
turns, and so do the connections of one address. So an address with many connections, or with a fast
one, delays other addresses little.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

MOST_OF_CPU: Final = 2.0
"""A piece of work counts for at most this multiple of the processor time that it used.

If the work takes longer, this process had to wait for the processor or a disk. The work is not the
cause of this wait, so no rest is due for the wait.
"""
TURN_S: Final = 0.005
"""The processor time, in seconds, after which no further datagram is handled in one turn."""
T = TypeVar("T")
SLICE_S: Final = 0.002
"""The seconds for which connections handle messages before they rest; no message is interrupted."""
SHARE: Final = 0.4
"""The part of the time that all connections together may take."""
UNITS_A_TURN: Final = 16
"""The largest number of messages that one connection handles in one turn."""
_SHORTEST_REST_S: Final = 0.001


class WorkTimer:
    """Measures how long one piece of work takes in this thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start measuring. The clocks return monotonic and processor time, both in seconds."""
        self._clock, self._cpu_clock = clock, cpu_clock
        self._began, self._cpu_began = clock(), cpu_clock()

    @property
    def seconds(self) -> float:
        """The time since the start, but at most `MOST_OF_CPU` times the used processor time."""
        cpu_s = self._cpu_clock() - self._cpu_began
        return min(self._clock() - self._began, MOST_OF_CPU * cpu_s)


class WorkShare:
    """Computes how long work must rest to keep within a share of the time."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without a debt.

        `share` is more than 0 and at most 1; `clock` returns monotonic seconds.
        """
        self._share = share
        self._clock = clock
        self._rested_at = clock()
        """The time from which no rest is due."""

    @property
    def rest_s(self) -> float:
        """The seconds for which the work must rest, to keep within its share."""
        return max(0.0, self._rested_at - self._clock())

    @property
    def debt_s(self) -> float:
        """The seconds of work for which the rest is still due."""
        return self.rest_s * self._share

    def spend(self, seconds: float) -> None:
        """Count the seconds of one piece of work that has just ended (`WorkTimer.seconds`)."""
        began = self._clock() - seconds
        self._rested_at = max(self._rested_at, began) + seconds / self._share


class DatagramTurns(Generic[T]):
    """The received datagrams that wait for their turn, and the function that handles them."""

    def __init__(
        self,
        handle: Callable[[T], None],
        *,
        clock: Callable[[], float],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """Start without datagrams; `handle` handles one of them.

        `clock` returns this thread's processor time in seconds, so that other programs do not make
        a turn shorter. `call_soon` calls a function in the next turn of the event loop.
        """
        self._handle = handle
        self._clock = clock
        self._call_soon = call_soon
        self._urgent: deque[T] = deque()
        self._waiting: deque[T] = deque()
        self._until: float | None = None
        """The processor time at which the present turn ends; None between two turns."""
        self._is_handling = False

    def __len__(self) -> int:
        return len(self._urgent) + len(self._waiting)

    def add(self, datagram: T, *, urgent: bool = False) -> None:
        """Handle a datagram now or in a later turn."""
        (self._urgent if urgent else self._waiting).append(datagram)
        if self._until is None:
            self._begin()
        else:
            self._work(self._until)

    def _begin(self) -> None:
        self._until = until = self._clock() + TURN_S
        self._call_soon(self._next_turn)
        self._work(until)

    def _next_turn(self) -> None:
        self._until = None
        if len(self):
            self._begin()

    def _work(self, until: float) -> None:
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while len(self) and self._clock() < until:
                self._handle((self._urgent or self._waiting).popleft())
        finally:
            self._is_handling = False


class TurnTaker(Protocol):
    """A connection that has read data, and handles it when it has its turn."""

    @property
    def host(self) -> str:
        """The IP address of the peer."""

    def handle_next(self) -> bool:
        """Handle the next message. Return False if no complete message was left."""

    def hold(self) -> None:
        """Read no more data until `resume`."""

    def resume(self) -> None:
        """Read data again, because all that was read is handled."""


class StreamTurns:
    """Gives turns to the connections that have unhandled data. Use it in one event loop only."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start without connections. The clocks return monotonic and processor time, in seconds."""
        self._clock, self._cpu_clock = clock, cpu_clock
        self._loop = asyncio.get_running_loop()
        self._waiting: OrderedDict[str, OrderedDict[TurnTaker, None]] = OrderedDict()
        self._work_share = WorkShare(SHARE, clock)
        self._timer: asyncio.TimerHandle | None = None
        self._is_working = False

    def is_waiting(self, stream: TurnTaker) -> bool:
        """Return whether the connection waits for its turn."""
        return stream in self._waiting.get(stream.host, ())

    def ready(self, stream: TurnTaker) -> None:
        """Let a connection handle the data that it has read: now, or when its turn comes."""
        self._waiting.setdefault(stream.host, OrderedDict()).setdefault(stream)
        if self._timer is None and not self._is_working:
            self._work()
        if self.is_waiting(stream):
            stream.hold()

    def forget(self, stream: TurnTaker) -> None:
        """Remove a connection that has ended."""
        streams = self._waiting.get(stream.host)
        if streams is not None and stream in streams:
            del streams[stream]
            if not streams:
                del self._waiting[stream.host]

    def close(self) -> None:
        """Give no more turns."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _work(self) -> None:
        timer = WorkTimer(self._clock, self._cpu_clock)
        until = self._clock() + max(0.0, SLICE_S - self._work_share.debt_s)
        self._is_working = True
        try:
            while self._waiting and self._clock() < until:
                self._give_turn(until)
        finally:
            self._is_working = False
            self._work_share.spend(timer.seconds)
            if self._waiting:
                rest = max(_SHORTEST_REST_S, self._work_share.rest_s)
                self._timer = self._loop.call_later(rest, self._work_again)

    def _work_again(self) -> None:
        self._timer = None
        self._work()

    def _give_turn(self, until: float) -> None:
        host, streams = next(iter(self._waiting.items()))
        stream = next(iter(streams))
        streams.move_to_end(stream)
        self._waiting.move_to_end(host)
        for _ in range(UNITS_A_TURN):
            if not stream.handle_next():
                self.forget(stream)
                stream.resume()
                return
            if self._clock() >= until:
                return
